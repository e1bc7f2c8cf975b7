import { invalid } from '../base/errors.ts';
import { encodeFields, type Field } from './frames.ts';
import { Op, protocolVersion } from './protocol.ts';

/** The count of fields is a u16. */
const mostFields = 0xffff;

/** A compiled plan as it grows; native/protocol.h tells each operation's fields. */
export class Plan {
  readonly #operations: Buffer[] = [];

  /** Numbers become u64, text UTF-8, bytes stay. Errors: `invalid-argument` for more fields than an operation can have. */
  add(operation: keyof typeof Op, ...fields: readonly Field[]): void {
    if (fields.length > mostFields)
      throw invalid(`${operation.toLowerCase()}: ${fields.length} arguments and variables, at most ${mostFields}`);
    const head = Buffer.alloc(4);
    head.writeUInt16LE(Op[operation], 0);
    head.writeUInt16LE(fields.length, 2);
    this.#operations.push(head, encodeFields(fields));
  }

  /** `BPLN`, u32 version, u32 number of operations, the operations. */
  encode(): Buffer {
    const head = Buffer.alloc(12);
    head.write('BPLN', 0, 'latin1');
    head.writeUInt32LE(protocolVersion, 4);
    head.writeUInt32LE(this.#operations.length / 2, 8);
    return Buffer.concat([head, ...this.#operations]);
  }
}
