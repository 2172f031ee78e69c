/** Compares answers of the Open Inference Protocol, in whichever encoding: outputs in any order, and nothing but their tensors. */
import { type ComparedReply, type Difference, Differences } from '../difference.ts'
import type { OipAnswer, Output } from './answer.ts'
import { BLOB, TYPED } from './parts.ts'
import { readAnswer } from './read-answer.ts'
import { cutOutput, partDifference } from './rows.ts'

export function* compareAnswers(a: ComparedReply, b: ComparedReply): Generator<void, Difference | undefined> {
  const [left, right] = [readAnswer(a, a.body), readAnswer(b, b.body)]
  if (!left || !right) return { what: 'text' }
  const found = new Differences()
  const others = new Map(right.outputs.map((output) => [output.name, output]))
  for (const output of left.outputs) {
    const other = others.get(output.name)
    others.delete(output.name)
    if (other && haveOneShape(output, other)) yield* compareOutputs([left, output], [right, other], found)
    else found.add(output.name, undefined, { what: 'shape' })
  }
  for (const name of others.keys()) found.add(name, undefined, { what: 'shape' })
  return found.found
}

function haveOneShape(a: Output, b: Output): boolean {
  return a.datatype === b.datatype && a.shape.join() === b.shape.join()
}

type OutputOf = readonly [answer: OipAnswer, output: Output]

function* compareOutputs(one: OutputOf, two: OutputOf, found: Differences): Generator<void, void> {
  const [, output] = one
  const [left, right] = [rowsOf(one), rowsOf(two)]
  if (!left || !right) return found.add(output.name, undefined, { what: 'text' })
  const type = { datatype: output.datatype, shape: output.shape.slice(1) }
  for (const [row, part] of left.entries()) {
    found.add(output.name, row, partDifference(part, right[row] as Uint8Array, type))
    yield
  }
}

function rowsOf([{ body, grpc }, output]: OutputOf): Uint8Array[] | undefined {
  return cutOutput(body, output, { count: output.shape[0] ?? 0, blobs: grpc?.isRaw === false ? TYPED : BLOB })
}
