/** Writes the request of a `ModelInfer` as the body of a REST request, in JSON, or in JSON and blobs. */
import { blobOfContents } from '../grpc/contents.ts'
import type { KeptFields } from '../grpc/fields.ts'
import type { InferMessage, OutputMessage, TensorMessage } from '../grpc/message.ts'
import { type Parameters, parameterText, plainText } from '../grpc/parameters.ts'
import { printElements } from '../print.ts'
import { decodeBlob } from '../tensor.ts'
import { Untranslatable } from './untranslatable.ts'

export interface RestBody {
  readonly json: Buffer
  /** Behind the JSON; left out: all values are JSON. */
  readonly blobs?: readonly Uint8Array[]
}

/** `isBinary`: the server takes blobs. Values that JSON cannot say (FP16, NaN) are blobs in any case. Throws `Untranslatable`. */
export function restBody(message: InferMessage, isBinary: boolean): RestBody {
  const blobs = blobsOf(message)
  const written = isBinary ? undefined : inJson(message, blobs)
  return written ?? inBlobs(message, blobs)
}

/** The values of each input; undefined: they are in shared memory. */
function blobsOf({ inputs, raw }: InferMessage): (Uint8Array | undefined)[] {
  let at = 0
  const blobs = inputs.map((input) => {
    if (input.parameters.has('shared_memory_region')) return undefined
    const blob = raw.length > 0 ? raw[at++] : blobOfContents(input.contents, input)?.blob
    if (!blob || (raw.length > 0 && input.contents.length > 0) || !decodeBlob(blob, input, false))
      throw new Untranslatable(
        'INVALID_ARGUMENT',
        `the values of input ${JSON.stringify(plainText(input.name))} do not fit its datatype and shape`,
      )
    return blob
  })
  if (raw.length > at)
    throw new Untranslatable('INVALID_ARGUMENT', 'raw_input_contents has more entries than there are inputs')
  return blobs
}

function inJson(message: InferMessage, blobs: readonly (Uint8Array | undefined)[]): RestBody | undefined {
  const inputs: string[] = []
  for (const [i, input] of message.inputs.entries()) {
    const blob = blobs[i]
    const elements = blob && printElements(blob, input.datatype)
    if (blob && elements === undefined) return undefined
    inputs.push(tensorText(input, blob ? { data: `[${elements}]` } : {}))
  }
  return { json: requestText(message, { inputs, isBinary: false }) }
}

function inBlobs(message: InferMessage, blobs: readonly (Uint8Array | undefined)[]): RestBody {
  const inputs = message.inputs.map((input, i) =>
    tensorText(input, blobs[i] ? { size: blobs[i].length } : {}),
  )
  return {
    json: requestText(message, { inputs, isBinary: true }),
    blobs: blobs.filter((blob) => blob !== undefined),
  }
}

function tensorText(
  { name, datatype, shape, parameters, unknown }: TensorMessage,
  { data, size }: { readonly data?: string; readonly size?: number },
): string {
  if (shape.some(Number.isNaN)) throw new Untranslatable('INVALID_ARGUMENT', 'a size in a shape is negative')
  refuseUnknown(unknown)
  const own = size === undefined ? [] : [`"binary_data_size":${size}`]
  return objectText([
    `"name":${jsonText(name)}`,
    `"datatype":${jsonText(datatype)}`,
    `"shape":[${shape.join()}]`,
    ...parametersText(parameters, own),
    ...(data === undefined ? [] : [`"data":${data}`]),
  ])
}

function requestText(
  { id, parameters, outputs, unknown }: InferMessage,
  { inputs, isBinary }: { readonly inputs: readonly string[]; readonly isBinary: boolean },
): Buffer {
  refuseUnknown(unknown)
  // The form of outputs that are not listed.
  const own = isBinary && outputs.length === 0 ? ['"binary_data_output":true'] : []
  return Buffer.from(
    objectText([
      ...(id ? [`"id":${JSON.stringify(Buffer.from(id).toString('utf8'))}`] : []),
      ...parametersText(parameters, own),
      `"inputs":[${inputs.join()}]`,
      ...(outputs.length === 0
        ? []
        : [`"outputs":[${outputs.map((one) => outputText(one, isBinary)).join()}]`]),
    ]),
  )
}

function outputText({ name, parameters, unknown }: OutputMessage, isBinary: boolean): string {
  refuseUnknown(unknown)
  const isShared = parameters.has('shared_memory_region')
  const own = isBinary && !isShared ? ['"binary_data":true'] : []
  return objectText([`"name":${jsonText(name)}`, ...parametersText(parameters, own)])
}

/** The names of parameters that say how a body is written, which is not the caller's to say here. */
const OF_THE_BODY = new Set(['binary_data', 'binary_data_size', 'binary_data_output'])

function parametersText(parameters: Parameters, own: readonly string[]): string[] {
  const texts = [...own]
  for (const [name, parameter] of parameters) {
    if (OF_THE_BODY.has(name)) continue
    const text = parameter.unknown.length === 0 ? parameterText(parameter) : undefined
    if (text === undefined)
      throw new Untranslatable('UNIMPLEMENTED', `the parameter ${JSON.stringify(name)} has no form in JSON`)
    texts.push(`${JSON.stringify(name)}:${text}`)
  }
  return texts.length === 0 ? [] : [`"parameters":${objectText(texts)}`]
}

function refuseUnknown(unknown: KeptFields): void {
  if (!unknown.isEmpty)
    throw new Untranslatable('UNIMPLEMENTED', 'the message has fields that have no form in JSON')
}

/** `canonical`: one latin1 character a byte. */
function jsonText(canonical: string): string {
  return `"${Buffer.from(canonical, 'latin1').toString('utf8')}"`
}

function objectText(members: readonly string[]): string {
  return `{${members.join()}}`
}
