import { describe, expect, it } from 'vitest'
import { digestOf } from '../../../../src/core/key.ts'
import { canonicalBytes } from '../../../../src/protocol/json/canonical.ts'
import { documentDigest } from '../../../../src/protocol/json/document.ts'
import { Cursor } from '../../../../src/protocol/json/scan.ts'
import { CANONICAL } from '../../../../src/protocol/json/span.ts'

const prefix = digestOf('prefix')

function problemOf(text: string | Uint8Array): string | undefined {
  const digest = documentDigest(prefix, Buffer.from(text))
  return typeof digest === 'string' ? undefined : digest.problem
}

function canonical(text: string): string {
  const cursor = new Cursor(Buffer.from(text))
  const span = cursor.value()
  if (!span) throw new Error(String(cursor.problem))
  return Buffer.from(canonicalBytes(cursor.bytes, span) as Uint8Array).toString()
}

describe('the scanner', () => {
  it.each([
    '{}',
    '[]',
    '0',
    '-0',
    '-1.5e+10',
    '1E5',
    '"\\ud83d\\ude00"',
    ' \t\r\n[1 , {"a" : null}]\n',
    '[true,false,null]',
    '[NaN,Infinity,-Infinity]',
    `${'['.repeat(64)}${']'.repeat(64)}`,
  ])('reads %s', (text) => {
    expect(problemOf(text)).toBeUndefined()
  })

  it.each([
    ['', 'unparsable'],
    ['   ', 'unparsable'],
    ['{', 'unparsable'],
    ['[1,]', 'unparsable'],
    ['{"a":1,}', 'unparsable'],
    ['{"a"}', 'unparsable'],
    ['{a:1}', 'unparsable'],
    ['[1}', 'unparsable'],
    ['01', 'unparsable'],
    ['[01]', 'unparsable'],
    ['[1.]', 'unparsable'],
    ['[.5]', 'unparsable'],
    ['[+1]', 'unparsable'],
    ['[1e]', 'unparsable'],
    ['[-]', 'unparsable'],
    ['[-NaN]', 'unparsable'],
    ['[Inf]', 'unparsable'],
    ['[tru]', 'unparsable'],
    ['["a\nb"]', 'unparsable'],
    ['["\\x"]', 'unparsable'],
    ['["\\u12"]', 'unparsable'],
    ['"open', 'unparsable'],
    ['{} {}', 'trailing-bytes'],
    ['[1]\0', 'trailing-bytes'],
    ['{"a":1,"b":2,"a":3}', 'duplicate-key'],
    ['{"a":1,"\\u0061":3}', 'duplicate-key'],
    ['[{"x":{"b":1,"a":2,"b":3}}]', 'duplicate-key'],
    ['["\\ud800"]', 'lone-surrogate'],
    ['["\\udc00x"]', 'lone-surrogate'],
    ['["\\ud800\\ud800"]', 'lone-surrogate'],
    ['{"\\ud800":1}', 'lone-surrogate'],
    ['['.repeat(65), 'too-deep'],
    ['\ufeff{}', 'unparsable'],
  ])('refuses %j: %s', (text, problem) => {
    expect(problemOf(text)).toBe(problem)
  })

  it('refuses bytes that are not UTF-8, overlong forms and raw surrogates among them', () => {
    for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xc3]]) {
      expect(problemOf(Buffer.from([0x22, ...bytes, 0x22]))).toBe('invalid-utf8')
    }
  })

  it('knows a canonical span as it lies', () => {
    const spelling = (text: string) => new Cursor(Buffer.from(text)).value()?.spelling
    expect(spelling('{"a":[1,"x\\n"],"b":{}}')).toBe(CANONICAL)
    for (const text of ['[1, 2]', '{"b":1,"a":2}', '"\\/"', '"\\u0041"', '{ }']) {
      expect(spelling(text)).not.toBe(CANONICAL)
    }
  })
})

describe('the canonical spelling', () => {
  it.each([
    ['{ "b" : 1 , "a" : [ 1.0 , 1e5 ] }', '{"a":[1.0,1e5],"b":1}'],
    ['"\\u0041\\u00e9\\ud83d\\ude00\\/"', '"Aé😀/"'],
    ['"\\u000a\\u0009\\u0000\\u001F\\"\\\\"', '"\\n\\t\\u0000\\u001f\\"\\\\"'],
    ['{"ab":1,"a":2,"":3}', '{"":3,"a":2,"ab":1}'],
    ['{"z":{"\\u0062":1,"a":2},"é":1,"~":2}', '{"z":{"a":2,"b":1},"~":2,"é":1}'],
    ['[9007199254740993, -0, NaN ]', '[9007199254740993,-0,NaN]'],
    ['"white  space\\u0020stays"', '"white  space stays"'],
  ])('of %s is %s', (given, wanted) => {
    expect(canonical(given)).toBe(wanted)
    expect(canonical(wanted)).toBe(wanted)
  })
})
