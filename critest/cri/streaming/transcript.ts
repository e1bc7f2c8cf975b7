import { controlFrame, dataHead, Flag, FrameType } from '../../../cri/stream/spdy/frames.ts';
import { HeaderWriter } from '../../../cri/stream/spdy/headers.ts';

const head = (url: URL, method: string, headers: Readonly<Record<string, string>>): Buffer => {
  const lines = Object.entries({ Host: url.host, Connection: 'Upgrade', ...headers }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  return Buffer.from([`${method} ${url.pathname} HTTP/1.1`, ...lines, '', ''].join('\r\n'));
};

const opened = (protocol: string, url: URL, streams: readonly Readonly<Record<string, string>>[]): Buffer[] => {
  const writer = new HeaderWriter();
  const request = {
    Upgrade: 'SPDY/3.1',
    'Content-Length': '0',
    'X-Stream-Protocol-Version': protocol,
  };
  const frames = streams.map((headers, index) => {
    const block = writer.write(new Map(Object.entries(headers)));
    return controlFrame(FrameType.SYN_STREAM, [index * 2 + 1, 0], Buffer.concat([Buffer.alloc(2), block]));
  });
  return [head(url, 'POST', request), ...frames];
};

/** All that a client sends in a session with stdin, stdout and stderr, without a look at the answers. */
export const spdyCommandBytes = (url: URL, input: Buffer): Buffer =>
  Buffer.concat([
    ...opened(
      'v4.channel.k8s.io',
      url,
      ['error', 'stdin', 'stdout', 'stderr'].map((streamtype) => ({ streamtype })),
    ),
    dataHead(3, input.length, Flag.FIN),
    input,
  ]);

export const spdyForwardBytes = (url: URL, port: number, input: Buffer): Buffer =>
  Buffer.concat([
    ...opened(
      'portforward.k8s.io',
      url,
      ['error', 'data'].map((streamtype) => ({ streamtype, port: `${port}`, requestid: '1' })),
    ),
    dataHead(3, input.length, Flag.FIN),
    input,
  ]);

export const webSocketCommandBytes = (url: URL, input: Buffer): Buffer => {
  const request = {
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': Buffer.alloc(16).toString('base64'),
    'Sec-WebSocket-Protocol': 'v5.channel.k8s.io',
  };
  return Buffer.concat([
    head(url, 'GET', request),
    message(Buffer.concat([Buffer.of(0), input])),
    message(Buffer.of(255, 0)),
  ]);
};

/** A binary message, masked with zero; below 126 bytes. */
const message = (bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.of(0x82, 0x80 | bytes.length), Buffer.alloc(4), bytes]);
