import { describe, expect, it } from 'vitest'
import { Decimal, readJson } from '../../../src/model/json.ts'

describe('the JSON reader', () => {
  it.each([
    ['an integer beyond 2^53', '9007199254740993', 9007199254740993n],
    ['a safe integer', '-42', -42],
    ['nine digits and ten', '[999999999,9999999999]', [999999999, 9999999999]],
    ['zeros', '[0, -0, 0.0, 0e1]', [0, -0, new Decimal(0), new Decimal(0)]],
    ['an exponent after one digit', '[5e-1, 5E1]', [0.5, new Decimal(50)]],
    ['a decimal literal of a whole number', '1.0', new Decimal(1)],
    ['an exponent of a whole number', '1e3', new Decimal(1000)],
    ['a fraction', '-0.25', -0.25],
    ['the NaN token', 'NaN', Number.NaN],
    ['the infinities', '[Infinity, -Infinity, Inf, -Inf]', [Infinity, -Infinity, Infinity, -Infinity]],
    ['escapes', '"a\\"b\\\\\\u00e9\\n"', 'a"b\\é\n'],
    ['a string that ends in backslashes', '["\\\\", "\\\\\\\\"]', ['\\', '\\\\']],
    ['the first of two equal keys', '{"a": 1, "a": 2}', new Map([['a', 1]])],
    ['a key that objects would take for their prototype', '{"__proto__": 1}', new Map([['__proto__', 1]])],
    ['space everywhere', ' [ 1 ,\n{ "a" :\tnull } ] ', [1, new Map([['a', null]])]],
  ])('reads %s', (_, text, wanted) => {
    expect(readJson(text)).toEqual(wanted)
  })

  it.each([
    ['nothing', '', 'position 0, the end'],
    ['a leading zero', '[01]', 'position 2'],
    ['a point without a fraction', '[1.]', 'position 2'],
    ['a control character after a number', '1\u000e', 'position 1'],
    ['a comma too many', '[1,]', 'position 3'],
    ['a string left open', '["abc', 'never closed'],
    ['a bad escape', '"\\x"', 'bad escape'],
    ['a control character in a string', '"a\nb"', 'control character'],
    ['a second value', '{} {}', 'nothing more'],
    ['a member without a colon', '{"a" 1}', '":"'],
    ['a number no double holds', '1e999', 'too large'],
    ['a bare word', '[yes]', 'a value was expected'],
  ])('refuses %s and says where', (_, text, said) => {
    expect(() => readJson(text)).toThrow(said)
  })

  it('refuses nesting that would exhaust the stack', () => {
    expect(() => readJson('['.repeat(100_000))).toThrow('nested deeper')
  })

  it('reads a million digits without taking seconds over them', () => {
    const start = performance.now()
    expect(() => readJson('9'.repeat(1_000_000))).toThrow('too large')
    expect(readJson(`1${'0'.repeat(200)}`)).toEqual(new Decimal(1e200))
    expect(performance.now() - start).toBeLessThan(1_000)
  })

  it.each([
    ['letters', 'é'],
    ['escapes', '\\"'],
    ['digits', '9'],
    ['spaces', ' '],
  ])('reads 20 million %s without the stack that they would take one by one', (what, one) => {
    const long = one.repeat(20_000_000)
    const read = () =>
      readJson(what === 'spaces' ? `[${long}"é"]` : `["é", ${what === 'digits' ? long : `"${long}"`}]`)
    if (what === 'digits') expect(read).toThrow('too large')
    else expect(read()).toHaveLength(what === 'spaces' ? 1 : 2)
  })

  it('agrees with JSON.parse where that loses nothing', () => {
    const value = { a: [1, 2.5, 'x', null, true, { b: [] }], 'c d': -3.75e-8 }
    const plain = (at: unknown): unknown => {
      if (at instanceof Map) return Object.fromEntries([...at].map(([key, item]) => [key, plain(item)]))
      return Array.isArray(at) ? at.map(plain) : at
    }
    expect(plain(readJson(JSON.stringify(value, null, 2)))).toEqual(value)
  })
})
