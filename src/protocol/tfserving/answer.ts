/**
 * Cuts V1 answers into rows, and assembles answers from rows, out of the server's own bytes: `1.0` stays `1.0`, and `NaN`
 * tokens are unchanged.
 */
import type { Reply } from '../../core/reply.ts'
import { textsAgree } from '../agree.ts'
import { byBytes } from '../json/document.ts'
import { jsonReply } from '../json/reply.ts'
import { Column, place } from '../json/rows.ts'
import { Cursor } from '../json/scan.ts'
import { listed, pack, unpack } from '../packed.ts'
import type { RowAnswer } from '../protocol.ts'
import { isRowMember, skipOther } from './whole.ts'

const OPEN_ARRAY = 0x5b
const OPEN_OBJECT = 0x7b

interface SplitAnswer {
  /** Sorted by name. */
  readonly columns: readonly Column[]
  /** The answer without its rows: the bytes before, between and behind the columns. */
  readonly pieces: readonly Uint8Array[]
  /** `outputs` by name: a row has one part for each column. */
  readonly isNamed: boolean
}

/**
 * Cuts an answer into rows. A row's frame holds the answer's other bytes, and the shape of the row's values, so that rows of
 * unequal shape (outputs padded to the longest row of a batch) do not match.
 */
export function cutAnswer(reply: Reply, body: Uint8Array, count: number): readonly RowAnswer[] | undefined {
  if (reply.status !== 200) return undefined
  const found = findRows(body)
  if (!found?.columns.every((column) => column.count === count && column.isEven)) return undefined
  const shapes = Buffer.alloc(found.columns.length * 4)
  for (const [i, column] of found.columns.entries()) shapes.writeInt32LE(column.shape, i * 4)
  const frame = pack([Buffer.from([found.isNamed ? 1 : 0]), shapes, ...found.pieces])
  const at = place()
  return Array.from({ length: count }, (_, row) => {
    const parts = found.columns.map((column) => {
      column.at(row, at)
      return body.subarray(at.start, at.end)
    })
    return { frame, slice: found.isNamed ? pack(parts) : (parts[0] as Uint8Array) }
  })
}

function findRows(body: Uint8Array): SplitAnswer | undefined {
  const cursor = new Cursor(body)
  const columns: Column[] = []
  let start = 0
  let end = 0
  let isNamed = false
  const read = cursor.members((key) => {
    const next = cursor.peek()
    if (!isRowMember(key)) return skipOther(cursor, key)
    if (end > 0) return false
    start = cursor.pos
    isNamed = key === 'outputs' && next === OPEN_OBJECT
    const isRead = isNamed
      ? cursor.members((name) => readColumn(cursor, name, columns))
      : next === OPEN_ARRAY && readColumn(cursor, '', columns)
    end = cursor.pos
    return isRead
  })
  if (!read || !cursor.finish() || columns.length === 0) return undefined
  columns.sort((a, b) => byBytes(a.name, b.name))
  const pieces = [body.subarray(0, start), ...between(columns, isNamed), body.subarray(end)]
  return { columns, isNamed, pieces }
}

function readColumn(cursor: Cursor, name: string, columns: Column[]): boolean {
  const column = new Column(name)
  columns.push(column)
  return cursor.peek() === OPEN_ARRAY && column.read(cursor)
}

/** The bytes before and behind each column inside the member that holds the columns. */
function between(columns: readonly Column[], isNamed: boolean): Uint8Array[] {
  if (!isNamed) return [Buffer.from('['), Buffer.from(']')]
  const before = columns.map(({ name }, i) => Buffer.from(`${i === 0 ? '{' : '],'}"${name}":[`, 'latin1'))
  return [...before, Buffer.from(']}')]
}

/** Whether two answers to one row agree. */
export function answersAgree(a: RowAnswer, b: RowAnswer): boolean {
  if (Buffer.compare(a.frame, b.frame) !== 0) return false
  const isNamed = unpack(a.frame)?.[0]?.[0] === 1
  if (!isNamed) return textsAgree(a.slice, b.slice)
  const [left, right] = [unpack(a.slice) ?? [], unpack(b.slice) ?? []]
  return left.length === right.length && left.every((part, i) => textsAgree(part, right[i] as Uint8Array))
}

/** Assembles one answer from rows in order; undefined if their frames do not match. */
export function assembleRows(answers: readonly RowAnswer[]): Reply | undefined {
  const frame = answers[0]?.frame
  if (
    !frame ||
    !answers.every((answer) => answer.frame === frame || Buffer.compare(answer.frame, frame) === 0)
  ) {
    return undefined
  }
  const [named, , head, ...pieces] = unpack(frame) ?? []
  const tail = pieces.pop()
  if (!named || !head || !tail) return undefined
  const isNamed = named[0] === 1
  const rows = answers.map((answer) => (isNamed ? (unpack(answer.slice) ?? []) : [answer.slice]))
  const width = pieces.length - 1
  if (!rows.every((row) => row.length === width)) return undefined
  const parts = [head]
  for (const [i, piece] of pieces.entries()) {
    parts.push(piece)
    if (i < width) parts.push(listed(rows.map((row) => row[i] as Uint8Array)))
  }
  return jsonReply(200, Buffer.concat([...parts, tail]))
}
