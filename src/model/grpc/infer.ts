/**
 * `ModelInfer`: a message becomes the tensors that the same call over HTTP has, and the other way round. Typed values are brought
 * into the layout of raw ones, which `binary.ts` reads for both protocols.
 */

import { ID, OUTPUTS, RAW_OUTPUTS } from '../../protocol/oip/grpc/answer.ts'
import { blobOfContents, contentsOfBlob } from '../../protocol/oip/grpc/contents.ts'
import { CONTENTS, type InferMessage, type TensorMessage } from '../../protocol/oip/grpc/message.ts'
import { type Parameters, plainText, Unsigned } from '../../protocol/oip/grpc/parameters.ts'
import { writeSizes } from '../../protocol/oip/grpc/write-answer.ts'
import { MessageWriter } from '../../protocol/protobuf/writer.ts'
import { readBinary, writeBinary } from '../binary.ts'
import { ModelError } from '../error.ts'
import type { Served } from '../repository.ts'
import type { Tensor, TensorSpec, Tensors } from '../runtime.ts'
import { checkShape } from '../tensors.ts'
import type { Face } from '../v2.ts'
import {
  checkDatatype,
  checkSizes,
  GivenInputs,
  outputNamed,
  refuseOutputParameters,
  refuseSequence,
  refuseSharedMemory,
} from '../v2-checks.ts'

export interface GrpcInfer {
  readonly id: string | undefined
  readonly tensors: Tensors
  /** Names of outputs. */
  readonly wanted: readonly string[]
  /** The caller has sent raw values, and gets such. */
  readonly isRaw: boolean
}

/** Throws a 400 that says which part does not fit the model. */
export function readGrpcInfer(message: InferMessage, { inputs: specs, outputs }: Face): GrpcInfer {
  const { inputs, raw, id } = message
  refuseSequence((name) => truthOf(message.parameters, name))
  const isRaw = raw.length > 0
  if (isRaw && raw.length !== inputs.length)
    throw new ModelError(400, `${raw.length} raw contents for ${inputs.length} inputs`)
  const given = new GivenInputs(specs)
  for (const [i, input] of inputs.entries()) {
    const spec = given.spec(plainText(input.name))
    given.put(spec, readInput(input, spec, isRaw ? raw[i] : undefined))
  }
  const tensors = given.all()
  const wanted = new Set<string>()
  for (const output of message.outputs) {
    const name = outputNamed(plainText(output.name), outputs)
    refuseOutputParameters(name, output.parameters)
    wanted.add(name)
  }
  return {
    id: id && Buffer.from(id).toString('utf8'),
    tensors,
    wanted: wanted.size > 0 ? [...wanted] : outputs.map(({ name }) => name),
    isRaw,
  }
}

/** Whether a parameter is neither left out nor 0, false or empty. */
function truthOf(parameters: Parameters, name: string): boolean {
  const value = parameters.get(name)?.value
  return Boolean(value instanceof Unsigned ? value.value : value)
}

function readInput(input: TensorMessage, spec: TensorSpec, raw: Uint8Array | undefined): Tensor {
  refuseSharedMemory(spec.name, input.parameters)
  checkDatatype(spec, plainText(input.datatype))
  checkSizes(spec, input.shape)
  const { shape } = input
  checkShape(spec, shape)
  if (raw && input.contents.length > 0)
    throw new ModelError(400, `input "${spec.name}" must have exactly one of typed and raw contents`)
  const blob = raw ?? blobOfContents(input.contents, { datatype: spec.datatype, shape })?.blob
  if (!blob) {
    const wanted = `the elements of ${spec.datatype} [${shape.join(', ')}]`
    throw new ModelError(400, `input "${spec.name}": "contents" are not ${wanted}`)
  }
  return readBinary(spec, shape, Buffer.from(blob.buffer, blob.byteOffset, blob.length))
}

export function writeGrpcInfer({ name, version }: Served, call: GrpcInfer, outputs: Tensors): MessageWriter {
  const answer = new MessageWriter().text(1, name).text(2, version)
  if (call.id !== undefined) answer.text(ID, call.id)
  const blobs: Buffer[] = []
  for (const output of call.wanted) {
    const tensor = outputs.get(output)
    if (!tensor) continue
    const { datatype, shape } = tensor
    const message = new MessageWriter().text(1, output).text(2, datatype)
    writeSizes(message, shape)
    const blob = writeBinary(tensor)
    if (call.isRaw) blobs.push(blob)
    else {
      const contents = contentsOfBlob(blob, { datatype, shape })
      if (contents && contents.length > 0) message.message(CONTENTS, contents)
    }
    answer.message(OUTPUTS, message)
  }
  for (const blob of blobs) answer.bytes(RAW_OUTPUTS, blob)
  return answer
}
