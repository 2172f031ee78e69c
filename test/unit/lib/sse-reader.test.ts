import { describe, expect, it } from 'vitest'
import { EventSplitter, eventsIn } from '../../../src/lib/sse-reader.ts'

const NAMES: readonly (readonly [string, string])[] = [
  ['LF', '\n'],
  ['CR LF', '\r\n'],
  ['CR', '\r'],
]

/** A stream with all that may be in one. */
function streamWith(line: string): string {
  const lines = [
    ': a comment',
    '',
    'data: a',
    '',
    'event: e',
    'data:b',
    'data: é😀',
    'id: 1',
    '',
    'data',
    '',
    '',
  ]
  return lines.join(line)
}

function read(text: string): unknown {
  return eventsIn(text).map(({ event, data }) => [event, data])
}

const READ = [
  ['', 'a'],
  ['e', 'b\né😀'],
  ['', ''],
]

describe.each(NAMES)('lines that end with %s', (_name, line) => {
  const text = streamWith(line)

  it('are read', () => {
    expect(read(text)).toEqual(READ)
  })

  it('are the same events wherever the bytes are cut', () => {
    const bytes = Buffer.from(text)
    for (let at = 0; at <= bytes.length; at++) {
      const splitter = new EventSplitter(1000)
      const pieces = [splitter.push(bytes.subarray(0, at)), splitter.push(bytes.subarray(at))]
      const complete = pieces.flatMap((piece) => piece ?? [])
      expect(Buffer.concat([...complete, splitter.rest()]).toString()).toBe(text)
      expect(
        complete.flatMap((piece) => eventsIn(piece.toString())).map(({ event, data }) => [event, data]),
      ).toEqual(READ)
    }
  })

  it('are given as soon as an event is complete, byte by byte', () => {
    const splitter = new EventSplitter(1000)
    const given: string[] = []
    for (const byte of Buffer.from(`data: a${line}${line}data: b`)) {
      const piece = splitter.push(Uint8Array.of(byte))
      if (piece) given.push(Buffer.from(piece).toString())
    }
    expect(given.join('').trim()).toBe('data: a')
    // Whoever gets a piece gets no part of an event.
    expect(read(given[0] ?? '')).toEqual([['', 'a']])
    expect(splitter.rest().length).toBeGreaterThanOrEqual('data: b'.length)
  })
})

it('knows where an event is in its text', () => {
  const text = 'data: a\n\n: c\n\nevent: e\ndata: b\n\n'
  expect(eventsIn(text).map(({ start, end }) => text.slice(start, end))).toEqual([
    'data: a\n\n',
    'event: e\ndata: b\n\n',
  ])
})

it('takes no event that does not end', () => {
  expect(read('data: a\n\ndata: b\n')).toEqual([['', 'a']])
})

it('skips other fields, and those that only begin like one', () => {
  expect(read('database: a\neventual: b\nretry: 1\ndata: c\n\n')).toEqual([['', 'c']])
})

it('refuses an event that does not end within the bound', () => {
  const splitter = new EventSplitter(10)
  splitter.push(Buffer.from('data: a'))
  expect(() => splitter.push(Buffer.from('aaaaaa'))).toThrow('an event of more than 10 bytes')
})
