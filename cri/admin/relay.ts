/**
 * Runs `action` and gives what it tells meanwhile, and at the end its result. A client that reads slowly gets the newest
 * message of each key, not a queue of old ones.
 */
export async function* relay<Message, Result>(
  action: (tell: (key: string, message: Message) => void) => Promise<Result>,
): AsyncGenerator<Message, Result> {
  const latest = new Map<string, Message>();
  let wake = Promise.withResolvers<void>();
  let end: { readonly result: Result } | undefined;
  const tell = (key: string, message: Message): void => {
    latest.set(key, message);
    wake.resolve();
  };
  const done = action(tell).then((result) => {
    end = { result };
    wake.resolve();
  });
  // A reader that has left must not make its failure one of the whole daemon.
  const failed = done.then(() => new Promise<never>(() => {}));
  failed.catch(() => undefined);
  for (;;) {
    const ended = end;
    const messages = [...latest.values()];
    latest.clear();
    yield* messages;
    if (ended !== undefined) return ended.result;
    if (latest.size === 0 && end === undefined) await Promise.race([wake.promise, failed]);
    wake = Promise.withResolvers<void>();
  }
}
