/**
 * The undo of what has been made so far. Each step that makes something adds its undo on the next line; the whole is
 * undone in reverse order unless `keep` was called. Undo never runs on the caller's signal.
 *
 *     await using rollback = new Rollback((error) => log.warn(error));
 *     await makeThing();
 *     rollback.add('thing', () => removeThing());
 *     rollback.keep();
 */
export class Rollback implements AsyncDisposable {
  #undo: { readonly name: string; readonly action: () => Promise<unknown> }[] = [];
  readonly #onError: (name: string, error: unknown) => void;

  constructor(onError: (name: string, error: unknown) => void) {
    this.#onError = onError;
  }

  add(name: string, action: () => Promise<unknown>): void {
    this.#undo.push({ name, action });
  }

  keep(): void {
    this.#undo = [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const undo = this.#undo.reverse();
    this.#undo = [];
    for (const { name, action } of undo) {
      try {
        await action();
      } catch (error) {
        this.#onError(name, error);
      }
    }
  }
}
