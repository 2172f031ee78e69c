/** Finds the model that the message of a gRPC call names, by a scan over the outermost fields. */
import { type Chunks, JOINED_BYTES } from '../../../core/chunks.ts'
import { onlyMessage, PREFIX_BYTES } from '../../grpc/message.ts'
import { BYTES, MalformedProtobuf, MessageReader } from '../../protobuf/reader.ts'
import type { NamedModel } from '../../protocol.ts'
import { FIELDS_PER_STEP, fieldsOf, type PlacedField, unreadable } from './chunks.ts'
import { FieldBudget } from './fields.ts'
import { orBypass } from './request.ts'

/** The same numbers in the requests for inference, readiness, metadata, configuration and statistics of a model. */
const MODEL = 1
const VERSION = 2
/** The longest name that is looked for in a long body. */
const MAX_NAME_BYTES = 4096
const GZIP_ID = 0x1f

/** Undefined: the body names none, or cannot be read. */
export function namedModel(body: Uint8Array): NamedModel | undefined {
  // Nothing but the bytes may decide, and the two encodings begin differently.
  const encoding = body[PREFIX_BYTES] === GZIP_ID ? 'gzip' : 'deflate'
  const message = onlyMessage(body, encoding, JOINED_BYTES)
  if ('bypass' in message) return undefined
  const found = orBypass(() => {
    const names = new Names()
    const reader = new MessageReader(message)
    const budget = new FieldBudget()
    while (reader.next()) {
      budget.take()
      names.take(reader.field, () => textOf(reader))
    }
    return names
  })
  return 'bypass' in found ? undefined : found.model
}

/** The same for a long body, in steps. */
export function* namedModelSteps(body: Chunks): Generator<void, NamedModel | undefined> {
  if (unreadable(body)) return undefined
  const names = new Names()
  const budget = new FieldBudget()
  const fields = fieldsOf(body)
  for (let seen = 1; ; seen++) {
    const next = orBypass(() => {
      const { value, done } = fields.next()
      if (done) return { done }
      budget.take()
      names.take(value.field, () => nameAt(body, value))
      return { done: false }
    })
    if ('bypass' in next) return undefined
    if (next.done) return names.model
    if (seen % FIELDS_PER_STEP === 0) yield
  }
}

/** Collects the names in a message, of which the last counts. */
class Names {
  #model = ''
  #version = ''

  /** Takes a field, which is no name unless it is one of the first two. */
  take(field: number, text: () => string): void {
    if (field === MODEL) this.#model = text()
    else if (field === VERSION) this.#version = text()
  }

  get model(): NamedModel | undefined {
    if (this.#model === '') return undefined
    return this.#version === '' ? { model: this.#model } : { model: this.#model, version: this.#version }
  }
}

function nameAt(body: Chunks, { wire, begin, start, end }: PlacedField): string {
  if (wire !== BYTES || end - start > MAX_NAME_BYTES) throw new MalformedProtobuf('this is no name')
  const reader = new MessageReader(body.slice(begin, end))
  reader.next()
  return textOf(reader)
}

function textOf(reader: MessageReader): string {
  return Buffer.from(reader.utf8()).toString('utf8')
}
