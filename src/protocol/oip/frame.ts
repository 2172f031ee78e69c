/**
 * The frame of an answer's rows: names, datatypes, trailing shapes, parameters and the model's version, but not the `id`, nor
 * the encoding of the values, which each slice states. Servers write the members around the values a little differently in
 * the two encodings (KServe's JSON has `"parameters": null`, and another order, where its binary answer has nothing), so
 * frames are compared by meaning.
 */

import { canonicalBytes } from '../json/canonical.ts'
import { Cursor } from '../json/scan.ts'
import { pack, unpack } from '../packed.ts'
import type { RowAnswer } from '../protocol.ts'
import type { OipAnswer, Output } from './answer.ts'
import type { TensorType } from './tensor.ts'

/** The placeholder of the shape: the only member of a frame without a text. */
const SHAPE = new Uint8Array(0)

export function frameOf(answer: OipAnswer): Buffer {
  return pack([pack(answer.members.map((member) => member.text)), ...answer.outputs.map(outputFrame)])
}

function outputFrame({ name, datatype, shape, members, parameters }: Output): Buffer {
  return pack([
    Buffer.from(name, 'latin1'),
    Buffer.from(datatype, 'latin1'),
    Buffer.from(shape.slice(1).join()),
    pack(members.map(({ key, text }) => (key === 'shape' ? SHAPE : text))),
    pack(parameters.map(({ text }) => text)),
  ])
}

/** The frame of one output. */
export interface OutputFrame extends TensorType {
  readonly name: string
  /** The members' texts in the server's order; an empty text is the place of the shape. */
  readonly members: readonly Uint8Array[]
  readonly parameters: readonly Uint8Array[]
}

export interface Frame {
  readonly members: readonly Uint8Array[]
  readonly outputs: readonly OutputFrame[]
}

/** Reads a frame, which may come from a shared cache; undefined if the bytes are no frame. */
export function readFrame(frame: Uint8Array): Frame | undefined {
  const [members, ...outputs] = unpack(frame) ?? []
  const texts = members && unpack(members)
  const read = outputs.map(readOutput)
  return texts && read.every((output) => output !== undefined) ? { members: texts, outputs: read } : undefined
}

function readOutput(frame: Uint8Array): OutputFrame | undefined {
  const [name, datatype, trailing, members, parameters] = unpack(frame) ?? []
  const [texts, more] = [members && unpack(members), parameters && unpack(parameters)]
  if (!name || !datatype || !trailing || !texts || !more) return undefined
  return {
    name: Buffer.from(name).toString('latin1'),
    datatype: Buffer.from(datatype).toString('latin1'),
    shape: trailing.length === 0 ? [] : Buffer.from(trailing).toString().split(',').map(Number),
    members: texts,
    parameters: more,
  }
}

/** Whether rows with these frames may be assembled into one answer. */
export function framesMatch(a: Uint8Array, b: Uint8Array): boolean {
  if (a === b || Buffer.compare(a, b) === 0) return true
  const [left, right] = [readFrame(a), readFrame(b)]
  if (!left || !right || left.outputs.length !== right.outputs.length) return false
  return (
    significantOf(left.members) === significantOf(right.members) &&
    left.outputs.every((output, i) => {
      const other = right.outputs[i] as OutputFrame
      return (
        output.name === other.name &&
        output.datatype === other.datatype &&
        output.shape.join() === other.shape.join() &&
        significantOf(output.members) === significantOf(other.members) &&
        significantOf(output.parameters) === significantOf(other.parameters)
      )
    })
  )
}

/** The members in sorted order, without those that say nothing. */
function significantOf(texts: readonly Uint8Array[]): string {
  return texts
    .map(canonicalMember)
    .filter((text) => !NOTHING_SAID.test(text))
    .sort()
    .map((text) => `${text.length}:${text}`)
    .join('')
}

/** Members that gRPC does not write: it has no null, and leaves out what is empty. */
const NOTHING_SAID = /^\{"[^"]*":(?:null|\{\}|"")\}$|^$/

/** A member as an object in canonical JSON. What is no JSON is a field of gRPC, as it is written. */
function canonicalMember(text: Uint8Array): string {
  if (text.length === 0) return ''
  const object = Buffer.concat([OPEN, text, CLOSE])
  const cursor = new Cursor(object)
  const span = cursor.value()
  const canonical = span && canonicalBytes(object, span)
  return Buffer.from(canonical instanceof Uint8Array ? canonical : text).toString('latin1')
}

const OPEN = Buffer.from('{')
const CLOSE = Buffer.from('}')

/** The frame for an answer of these rows: that of the first row that `isFitting`, if there is one; undefined: they do not match. */
export function commonFrame(
  answers: readonly RowAnswer[],
  isFitting: (answer: RowAnswer, frame: Frame) => boolean,
): Frame | undefined {
  const first = answers[0]?.frame
  if (!first) return undefined
  // Rows that come from one answer have one frame, however often it was read from a cache.
  const known: Uint8Array[] = [first]
  for (const { frame } of answers) {
    if (known.some((other) => other === frame || Buffer.compare(other, frame) === 0)) continue
    if (!framesMatch(frame, first)) return undefined
    known.push(frame)
  }
  if (known.length === 1) return readFrame(first)
  let found: Frame | undefined
  for (const answer of answers) {
    const frame = readFrame(answer.frame)
    if (frame && isFitting(answer, frame)) return frame
    found ??= frame
  }
  return found
}
