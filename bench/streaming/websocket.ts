import { Cutter, type OnData, upgrade, type Wire } from './wire.ts';

const binary = 0x82;

const lengthBytes = (short: number): number => (short === 126 ? 2 : short === 127 ? 8 : 0);

/** The mask is there, as it has to be, and zero. */
const head = (number: number, length: number): Buffer => {
  const bytes = Buffer.alloc(15);
  bytes.writeUInt8(binary, 0);
  bytes.writeUInt8(0x80 | 127, 1);
  bytes.writeBigUInt64BE(BigInt(length + 1), 2);
  bytes.writeUInt8(number, 14);
  return bytes;
};

/** An exec's session over `v4.channel.k8s.io`, which every server knows: there is no end of stdin in it. */
export const webSocketExec = async (url: string, onData: OnData): Promise<Wire> => {
  const { socket, rest } = await upgrade(new URL(url), 'GET', {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': Buffer.alloc(16).toString('base64'),
    'Sec-WebSocket-Protocol': 'v4.channel.k8s.io',
  });
  let number = -1;
  const cutter = new Cutter(
    (known) => (known.length < 2 ? 2 : 2 + lengthBytes(known.readUInt8(1))),
    (known) => {
      number = known.readUInt8(0) === binary ? -1 : -2;
      return known.length === 2
        ? known.readUInt8(1)
        : known.readUIntBE(known.length === 4 ? 2 : 4, known.length === 4 ? 2 : 6);
    },
    (bytes, last) => {
      // the first byte of a message is its channel
      const from = number === -1 && bytes.length > 0 ? 1 : 0;
      if (from === 1) number = bytes.readUInt8(0);
      if (number >= 0 && bytes.length > from) onData(number, bytes.subarray(from));
      if (last) number = -1;
    },
  );
  cutter.push(rest);
  socket.on('data', (bytes) => cutter.push(bytes));
  socket.resume();
  return {
    socket,
    send: (to, bytes) => {
      socket.cork();
      socket.write(head(to, bytes.length));
      const room = socket.write(bytes);
      socket.uncork();
      return room;
    },
  };
};
