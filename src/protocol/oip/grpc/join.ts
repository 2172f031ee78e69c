/** Writes a `ModelInferRequest` of other rows, in the form that the caller has chosen. */
import { PREFIX_BYTES, withPrefix } from '../../grpc/message.ts'
import { unpack } from '../../packed.ts'
import { MessageWriter } from '../../protobuf/writer.ts'
import type { Joined, Row } from '../../protocol.ts'
import { contentsOfBlob } from './contents.ts'
import { CONTENTS, INPUTS, RAW_INPUTS } from './message.ts'
import type { GrpcRequest, OutlinedInput } from './request.ts'
import { writeSizes } from './write-answer.ts'

/** What is known of a gRPC call besides its keys. */
export interface InferNotes {
  readonly request: Pick<GrpcRequest<OutlinedInput>, 'message' | 'inputs' | 'isRaw'>
  /** The message came compressed; those of this gateway are not. */
  readonly isCompressed: boolean
}

/** All but shapes and values is as the caller wrote it. */
export function joinGrpc({ request, isCompressed }: InferNotes, rows: readonly Row[]): Joined {
  const { message, inputs, isRaw } = request
  const wires = rows.map((row) => unpack(row.wire) ?? [])
  const joined = new MessageWriter().raw(message.around.bytes())
  const blobs: Uint8Array[] = []
  for (const [i, { written }] of inputs.entries()) {
    const blob = Buffer.concat(wires.map((wire) => wire[i] as Uint8Array))
    blobs.push(blob)
    const shape = [rows.length, ...written.shape.slice(1)]
    const tensor = new MessageWriter().raw(written.around.bytes())
    writeSizes(tensor, shape)
    const contents = isRaw ? undefined : contentsOfBlob(blob, { datatype: written.datatype, shape })
    if (contents) tensor.message(CONTENTS, contents)
    joined.message(INPUTS, tensor)
  }
  if (isRaw) for (const blob of blobs) joined.bytes(RAW_INPUTS, blob)
  const headers = isCompressed ? ['grpc-encoding', 'identity'] : []
  return { headers, body: withPrefix(joined.join(PREFIX_BYTES)) }
}
