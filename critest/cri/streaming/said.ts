import { FrameParser, FrameType } from '../../../cri/stream/spdy/frames.ts';

/** What a server said in a session, whatever pieces it came in. */
export interface Said {
  /** The status line and the chosen protocol. */
  readonly answer: readonly string[];
  /** Each stream's or channel's bytes, `|` at its end. */
  readonly streams: Readonly<Record<string, string>>;
  /** Streams that were answered, were reset; WebSocket closes. */
  readonly replied: readonly number[];
  readonly reset: readonly number[];
  readonly closed: readonly number[];
}

/** Reads all bytes of the server's direction. */
export const said = (bytes: Buffer): Said => {
  const end = bytes.indexOf('\r\n\r\n');
  const head = bytes.subarray(0, Math.max(end, 0)).toString('latin1').split('\r\n');
  const answer = head.filter((line) => /^(HTTP|X-Stream-Protocol|Sec-WebSocket-Protocol|Upgrade)/i.test(line));
  const rest = end < 0 ? Buffer.alloc(0) : bytes.subarray(end + 4);
  const protocol = answer.find((line) => line.startsWith('Sec-WebSocket-Protocol')) ?? '';
  if (protocol === '') return { answer, ...spdy(rest) };
  const messages = webSocketMessages(rest);
  if (protocol.includes('SPDY'))
    return { answer, ...spdy(Buffer.concat(messages.filter(({ type }) => type === 2).map(({ payload }) => payload))) };
  return { answer, ...channels(messages) };
};

const spdy = (bytes: Buffer): Omit<Said, 'answer'> => {
  const streams: Record<string, string> = {};
  const [replied, reset, closed]: number[][] = [[], [], []];
  const parser = new FrameParser({
    control: ({ type, payload }) => {
      if (type === FrameType.SYN_REPLY) replied?.push(payload.readUInt32BE());
      if (type === FrameType.RST_STREAM) reset?.push(payload.readUInt32BE());
      if (type === FrameType.GOAWAY) closed?.push(payload.readUInt32BE(4));
    },
    data: (id, part, fin) => {
      streams[id] = `${streams[id] ?? ''}${part}${fin ? '|' : ''}`;
    },
  });
  parser.push(bytes);
  return { streams, replied: replied ?? [], reset: reset ?? [], closed: closed ?? [] };
};

interface Message {
  readonly type: number;
  readonly payload: Buffer;
}

/** Whole messages of a server, which does not mask. */
const webSocketMessages = (bytes: Buffer): Message[] => {
  const messages: Message[] = [];
  for (let at = 0; at + 2 <= bytes.length; ) {
    const short = bytes.readUInt8(at + 1) & 0x7f;
    const head = short === 126 ? 4 : short === 127 ? 10 : 2;
    if (at + head > bytes.length) break;
    const length =
      short === 126 ? bytes.readUInt16BE(at + 2) : short === 127 ? Number(bytes.readBigUInt64BE(at + 2)) : short;
    messages.push({ type: bytes.readUInt8(at) & 0xf, payload: bytes.subarray(at + head, at + head + length) });
    at += head + length;
  }
  return messages;
};

const channels = (messages: readonly Message[]): Omit<Said, 'answer'> => {
  const streams: Record<string, string> = {};
  const closed: number[] = [];
  for (const { type, payload } of messages)
    if (type === 8) closed.push(payload.readUInt16BE());
    else if (type === 2) {
      const channel = payload.readUInt8();
      streams[channel] = (streams[channel] ?? '') + payload.subarray(1).toString();
    }
  return { streams, replied: [], reset: [], closed };
};
