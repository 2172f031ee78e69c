/** Writes the body of a REST request for inference as a `ModelInferRequest`, whose values are raw. */
import type { RawPairs } from '../../../core/call.ts'
import { Cursor } from '../../json/scan.ts'
import type { Span } from '../../json/span.ts'
import { MessageWriter } from '../../protobuf/writer.ts'
import type { NamedModel } from '../../protocol.ts'
import { jsonLength } from '../body-fields.ts'
import { parameterOfText, plainText, writeParameter } from '../grpc/parameters.ts'
import { writeSizes } from '../grpc/write-answer.ts'
import { smallInteger } from '../number.ts'
import { decodeBlob, decodeJson } from '../tensor.ts'
import { Untranslatable } from './untranslatable.ts'

/** Fields of the message, and of its inputs and outputs. */
const ID = 3
const PARAMETERS = 4
const INPUTS = 5
const OUTPUTS = 6
const OUTPUT_PARAMETERS = 2
const RAW_INPUTS = 7

interface InputDraft {
  name: string
  datatype: string
  shape: number[]
  data?: Span
  /** The length of its blob. */
  size?: number
  isShared: boolean
  readonly parameters: MessageWriter
}

/** Throws `Untranslatable`. */
export function grpcMessage(
  body: Uint8Array,
  headers: RawPairs,
  { model, version }: NamedModel,
): MessageWriter {
  const jsonEnd = jsonLength(headers, body)
  if (jsonEnd === undefined) throw invalid('Inference-Header-Content-Length is no length within the body')
  if (jsonEnd === 0 && body.length > 0)
    throw new Untranslatable('UNIMPLEMENTED', 'a request of one blob names no input, which gRPC needs')
  return new RequestTranslator(body, jsonEnd).translate({
    model,
    ...(version === undefined ? {} : { version }),
  })
}

function invalid(message: string): Untranslatable {
  return new Untranslatable('INVALID_ARGUMENT', message)
}

class RequestTranslator {
  readonly #body: Uint8Array
  readonly #cursor: Cursor
  readonly #parameters = new MessageWriter()
  readonly #inputs: InputDraft[] = []
  readonly #outputs: MessageWriter[] = []
  #id: string | undefined

  constructor(body: Uint8Array, jsonEnd: number) {
    this.#body = body
    this.#cursor = new Cursor(body.subarray(0, jsonEnd))
  }

  translate({ model, version }: NamedModel): MessageWriter {
    this.#members((key) => this.#member(key))
    if (!this.#cursor.finish()) throw invalid('the body is no JSON')
    const message = new MessageWriter().text(1, model)
    if (version !== undefined) message.text(2, version)
    if (this.#id !== undefined) message.text(ID, this.#id)
    message.raw(this.#parameters.join())
    const blobs = this.#blobs()
    for (const { name, datatype, shape, parameters } of this.#inputs) {
      const tensor = new MessageWriter().text(1, name).text(2, datatype)
      writeSizes(tensor, shape)
      message.message(INPUTS, tensor.raw(parameters.join()))
    }
    for (const output of this.#outputs) message.message(OUTPUTS, output)
    for (const blob of blobs) message.bytes(RAW_INPUTS, blob)
    return message
  }

  /** The values of all inputs, but those in shared memory. */
  #blobs(): Uint8Array[] {
    const blobs: Uint8Array[] = []
    let at = this.#cursor.end
    for (const input of this.#inputs) {
      const { name, data, size } = input
      if (input.isShared) continue
      const end = at + (size ?? 0)
      const written = size === undefined ? undefined : this.#body.subarray(at, end)
      at = end
      const tensor = written ? decodeBlob(written, input, false) : data && decodeJson(this.#body, data, input)
      if (!tensor || (written && data) || at > this.#body.length)
        throw invalid(`the values of input ${JSON.stringify(name)} do not fit its datatype and shape`)
      blobs.push(tensor.values)
    }
    if (at !== this.#body.length) throw invalid('there are bytes behind the last blob')
    return blobs
  }

  #member(key: string): void {
    if (key === 'id') this.#id = this.#text()
    else if (key === 'parameters') this.#parametersInto(this.#parameters, PARAMETERS)
    else if (key === 'inputs') this.#each(() => this.#inputs.push(this.#input()))
    else if (key === 'outputs') this.#each(() => this.#outputs.push(this.#output()))
    else this.#nothing(key)
  }

  #input(): InputDraft {
    const parameters = new MessageWriter()
    const draft: InputDraft = { name: '', datatype: '', shape: [], isShared: false, parameters }
    this.#members((key) => {
      if (key === 'name') draft.name = this.#text()
      else if (key === 'datatype') draft.datatype = this.#text()
      else if (key === 'shape') this.#each(() => draft.shape.push(this.#size()))
      else if (key === 'data') draft.data = this.#value()
      else if (key === 'parameters') this.#parametersInto(parameters, PARAMETERS, draft)
      else this.#nothing(key)
    })
    return draft
  }

  #output(): MessageWriter {
    const output = new MessageWriter()
    this.#members((key) => {
      if (key === 'name') output.text(1, this.#text())
      else if (key === 'parameters') this.#parametersInto(output, OUTPUT_PARAMETERS)
      else this.#nothing(key)
    })
    return output
  }

  /** Writes parameters, but those that say how this body, or the answer's, is written. */
  #parametersInto(into: MessageWriter, field: number, draft?: InputDraft): void {
    if (this.#cursor.peek() !== OPEN_OBJECT) return this.#nothing('parameters')
    this.#members((key) => {
      if (key === 'binary_data_size' && draft) draft.size = this.#size()
      else {
        if (key === 'shared_memory_region' && draft) draft.isShared = true
        const span = this.#value()
        if (key === 'binary_data_output' || key === 'binary_data') return
        const value = parameterOfText(this.#body.subarray(span.start, span.end))
        if (value === undefined)
          throw new Untranslatable('UNIMPLEMENTED', `the parameter "${key}" has no form in gRPC`)
        writeParameter(into, field, plainText(key), { value, unknown: NOTHING })
      }
    })
  }

  /** A member that gRPC has no field for. */
  #nothing(key: string): void {
    const { start } = this.#value()
    if (this.#body[start] !== LETTER_N)
      throw new Untranslatable('UNIMPLEMENTED', `"${key}" has no form in gRPC`)
  }

  #members(visit: (key: string) => void): void {
    const isRead = this.#cursor.members((key) => {
      visit(key)
      return true
    })
    if (!isRead) throw invalid('the body is no JSON object of a request')
  }

  #each(visit: () => void): void {
    const isRead = this.#cursor.elements(() => {
      visit()
      return true
    })
    if (!isRead) throw invalid('the body is no JSON object of a request')
  }

  #value(): Span {
    const span = this.#cursor.value()
    if (!span) throw invalid('the body is no JSON')
    return span
  }

  #text(): string {
    const { start, end } = this.#value()
    if (this.#body[start] !== QUOTE) throw invalid('a name, a datatype or an id is no string')
    return JSON.parse(Buffer.from(this.#body.subarray(start, end)).toString('utf8')) as string
  }

  #size(): number {
    const { start, end } = this.#value()
    const size = smallInteger(this.#body, start, end)
    if (size === undefined || size < 0) throw invalid('a size is no whole number')
    return size
  }
}

const NOTHING = new Uint8Array(0)
const OPEN_OBJECT = 0x7b
const QUOTE = 0x22
/** Of `null`. */
const LETTER_N = 0x6e
