/**
 * Finds the parts of a `ModelInferRequest`, without reading the tensors' values. The parts that a request of other rows has in
 * common with this one are kept as they are written.
 */
import { BYTES, MalformedProtobuf, MessageReader, VARINT } from '../../protobuf/reader.ts'
import { FieldBudget, KeptFields } from './fields.ts'
import { canonicalText, type Parameters, readParameter } from './parameters.ts'

/** Fields of `ModelInferRequest`. */
export const INPUTS = 5
export const RAW_INPUTS = 7
/** Fields of a tensor, of requests and of answers. */
export const SHAPE = 3
export const CONTENTS = 5

/** A tensor, without its values. */
export interface TensorMessage {
  /** In its canonical spelling in JSON, one latin1 character a byte. */
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly parameters: Parameters
  /** The values' messages, if they are typed; their fields are merged. */
  readonly contents: readonly Uint8Array[]
  readonly unknown: KeptFields
  /** All fields but shape and values, as written. */
  readonly around: KeptFields
}

export interface OutputMessage {
  readonly name: string
  readonly parameters: Parameters
  readonly unknown: KeptFields
}

export interface InferMessage {
  readonly model: string
  readonly version: string
  /** UTF-8; undefined: the caller has given none. */
  readonly id: Uint8Array | undefined
  readonly parameters: Parameters
  readonly inputs: readonly TensorMessage[]
  readonly outputs: readonly OutputMessage[]
  readonly raw: readonly Uint8Array[]
  readonly unknown: KeptFields
  /** All fields but the inputs and their values, as written. */
  readonly around: KeptFields
}

/** Reads a `ModelInferRequest`; throws `MalformedProtobuf`. */
export function readInferMessage(message: Uint8Array): InferMessage {
  let [model, version] = ['', '']
  let id: Uint8Array | undefined
  const parameters: Parameters = new Map()
  const [inputs, outputs]: [TensorMessage[], OutputMessage[]] = [[], []]
  const raw: Uint8Array[] = []
  const [unknown, around] = [new KeptFields(message), new KeptFields(message)]
  const budget = new FieldBudget()
  const reader = new MessageReader(message)
  while (reader.next()) {
    budget.take()
    switch (reader.field) {
      case 1:
        model = textOf(reader)
        break
      case 2:
        version = textOf(reader)
        break
      case 3:
        id = reader.utf8()
        break
      case 4:
        readParameter(part(reader), parameters, budget)
        break
      case INPUTS:
        inputs.push(readTensor(part(reader), budget))
        continue
      case 6:
        outputs.push(readOutput(part(reader), budget))
        break
      case RAW_INPUTS:
        raw.push(value(reader))
        continue
      default:
        unknown.keep(reader)
    }
    around.keep(reader)
  }
  const own = id && id.length > 0 ? id : undefined
  return { model, version, id: own, parameters, inputs, outputs, raw, unknown, around }
}

/** Reads an `InferInputTensor` or `InferOutputTensor`, whose fields are the same. */
export function readTensor(reader: MessageReader, budget: FieldBudget): TensorMessage {
  let [name, datatype] = ['', '']
  const shape: number[] = []
  const parameters: Parameters = new Map()
  const contents: Uint8Array[] = []
  const [unknown, around] = [new KeptFields(reader.source), new KeptFields(reader.source)]
  while (reader.next()) {
    budget.take()
    switch (reader.field) {
      case 1:
        name = canonicalText(reader.utf8())
        break
      case 2:
        datatype = canonicalText(reader.utf8())
        break
      case SHAPE:
        readSizes(reader, shape)
        continue
      case 4:
        readParameter(part(reader), parameters, budget)
        break
      case CONTENTS:
        contents.push(value(reader))
        continue
      default:
        unknown.keep(reader)
    }
    around.keep(reader)
  }
  return { name, datatype, shape, parameters, contents, unknown, around }
}

function readOutput(reader: MessageReader, budget: FieldBudget): OutputMessage {
  let name = ''
  const parameters: Parameters = new Map()
  const unknown = new KeptFields(reader.source)
  while (reader.next()) {
    budget.take()
    if (reader.field === 1) name = canonicalText(reader.utf8())
    else if (reader.field === 2) readParameter(part(reader), parameters, budget)
    else unknown.keep(reader)
  }
  return { name, parameters, unknown }
}

/** A negative size, and one beyond the exact numbers, becomes NaN. */
function readSizes(reader: MessageReader, shape: number[]): void {
  if (reader.wire === VARINT) shape.push(sizeOf(reader))
  else {
    const list = part(reader)
    while (list.number()) shape.push(sizeOf(list))
  }
}

function sizeOf({ safeInt64 = -1 }: MessageReader): number {
  return safeInt64 < 0 ? Number.NaN : safeInt64
}

function part(reader: MessageReader): MessageReader {
  if (reader.wire !== BYTES) throw new MalformedProtobuf('a message has another type')
  return reader.message()
}

function value(reader: MessageReader): Uint8Array {
  if (reader.wire !== BYTES) throw new MalformedProtobuf('a value has another type')
  return reader.bytes()
}

function textOf(reader: MessageReader): string {
  return Buffer.from(reader.utf8()).toString('utf8')
}
