/** Puts answers together of rows, whichever form each row came in. */
import type { Reply } from '../../core/reply.ts'
import { Cursor } from '../json/scan.ts'
import { listed, unpack } from '../packed.ts'
import type { Plan, RowAnswer } from '../protocol.ts'
import { encodeBinary, encodeJson, wantsBinary, writeAnswer } from './answer.ts'
import { commonFrame, type Frame, type OutputFrame } from './frame.ts'
import { type GrpcOutput, writeGrpcAnswer } from './grpc/write-answer.ts'
import { hasAll, type OipNotes } from './notes.ts'
import { BLOB, FLAT, isBlob, NESTED } from './parts.ts'
import { printElements } from './print.ts'
import type { OutputPreferences } from './request.ts'
import { decodeJson, type TensorType } from './tensor.ts'

/** Assembles one answer from rows in order, in the caller's form; undefined if their frames do not match. */
export function assembleRows(
  plan: Plan,
  answers: readonly RowAnswer[],
  isSameForm = false,
): Reply | undefined {
  const { preferences, grpc } = plan.common as OipNotes
  // The frame is one that the server wrote in the encoding that this caller wants, if there is one.
  const frame = commonFrame(answers, ({ slice }, { outputs: [output] }) => {
    return (
      output !== undefined && isBlob(slice.subarray(PACKED_LENGTH)) === wantsBinary(preferences, output.name)
    )
  })
  if (!frame || !hasAll(frame.outputs, plan)) return undefined
  const rows = answers.map((answer) => unpack(answer.slice) ?? [])
  if (!rows.every((row) => row.length === frame.outputs.length)) return undefined
  const columns = frame.outputs.map((_, i) => rows.map((row) => row[i] as Uint8Array))
  const wish = { preferences, isSameForm }
  return grpc ? assembleMessage(frame, columns, wish) : assembleJson(frame, columns, wish)
}

/** What a caller wants. `isSameForm`: the rows are answers to calls in its form. */
interface Wish {
  readonly preferences: OutputPreferences
  readonly isSameForm: boolean
}

function assembleJson(
  frame: Frame,
  columns: readonly (readonly Uint8Array[])[],
  wish: Wish,
): Reply | undefined {
  const texts: Uint8Array[] = []
  const blobs: Uint8Array[] = []
  for (const [i, output] of frame.outputs.entries()) {
    const parts = columns[i] as readonly Uint8Array[]
    const encoded = assembleOutput(output, parts, isWanted(output, parts, wish))
    if (!encoded) return undefined
    texts.push(encoded.text)
    if (encoded.blob) blobs.push(encoded.blob)
  }
  const members = frame.members.map(memberText)
  return writeAnswer({ status: 200, headers: [] }, { members, texts, blobs, id: wish.preferences.id })
}

function assembleMessage(
  frame: Frame,
  columns: readonly (readonly Uint8Array[])[],
  wish: Wish,
): Reply | undefined {
  const outputs: GrpcOutput[] = []
  let isRaw = wish.preferences.binary
  for (const [i, output] of frame.outputs.entries()) {
    const parts = columns[i] as readonly Uint8Array[]
    const blob = blobOf(parts, output)
    if (!blob) return undefined
    isRaw = isWanted(output, parts, wish)
    const shape = [parts.length, ...output.shape]
    const texts = { members: output.members.map(memberText), parameters: output.parameters.map(memberText) }
    outputs.push({ ...output, ...texts, shape, blob })
  }
  const members = frame.members.map(memberText)
  return writeGrpcAnswer({ headers: [] }, { members, outputs, id: wish.preferences.id, isRaw })
}

/** Whether an output is given as a blob: as the server gave it to callers of the same form, otherwise as this caller wants it. */
function isWanted(
  { name }: OutputFrame,
  parts: readonly Uint8Array[],
  { preferences, isSameForm }: Wish,
): boolean {
  const isBinary = parts[0]?.[0] === BLOB
  const isOneWay = isSameForm && parts.every((part) => (part[0] === BLOB) === isBinary)
  return isOneWay ? isBinary : wantsBinary(preferences, name)
}

/** The bytes of a part's length in a packed list. */
const PACKED_LENGTH = 4

function assembleOutput(
  frame: OutputFrame,
  parts: readonly Uint8Array[],
  isBinary: boolean,
): { text: Uint8Array; blob?: Uint8Array } | undefined {
  const shape = Buffer.concat([Buffer.from('"shape":'), shapeText(parts.length, [0, ...frame.shape])])
  const output = {
    members: frame.members.map((text) => memberText(text.length > 0 ? text : shape)),
    parameters: frame.parameters.map(memberText),
  }
  const values = isBinary ? blobOf(parts, frame) : elementsText(parts, frame.datatype)
  if (!values) return undefined
  return isBinary ? encodeBinary(output, values) : encodeJson(output, values)
}

const memberText = (text: Uint8Array) => ({ text })

/** The values of all rows as one blob. */
export function blobOf(parts: readonly Uint8Array[], type: TensorType): Buffer | undefined {
  const blobs: Uint8Array[] = []
  for (const tagged of parts) {
    const bytes = tagged.subarray(1)
    const text = tagged[0] === FLAT ? Buffer.concat([OPEN, bytes, CLOSE]) : bytes
    const blob = isBlob(tagged) ? bytes : decodeElements(text, type)
    if (!blob) return undefined
    blobs.push(blob)
  }
  return Buffer.concat(blobs)
}

/** Decodes a slice, which may come from a shared cache: its grammar is checked first. */
function decodeElements(text: Uint8Array, type: TensorType): Uint8Array | undefined {
  const cursor = new Cursor(text)
  const span = cursor.value()
  return span && cursor.finish() ? decodeJson(text, span, type)?.values : undefined
}

/** The values of all rows as JSON elements; undefined if some are flat and some nested. */
function elementsText(parts: readonly Uint8Array[], datatype: string): Buffer | undefined {
  const texts: Uint8Array[] = []
  const nested = parts.filter((tagged) => tagged[0] === NESTED).length
  if (nested > 0 && nested < parts.length) return undefined
  for (const tagged of parts) {
    const bytes = tagged.subarray(1)
    const printed = isBlob(tagged) ? printElements(bytes, datatype) : undefined
    if (isBlob(tagged) && printed === undefined) return undefined
    texts.push(printed === undefined ? bytes : Buffer.from(printed))
  }
  return listed(texts)
}

export const OPEN = Buffer.from('[')
export const CLOSE = Buffer.from(']')

/** The shape of so many rows. */
export function shapeText(n: number, shape: readonly number[]): Buffer {
  return Buffer.from(`[${[n, ...shape.slice(1)].join()}]`)
}
