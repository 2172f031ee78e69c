import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatDuration, formatSize, parseDuration, parseSize } from '../../../src/lib/bytes.ts'

describe('durations', () => {
  it.each([
    ['50ms', 50],
    ['1.5s', 1500],
    ['0.1s', 100],
    ['1.1s', 1100],
    ['0.07d', 6_048_000],
    ['0.25ms', 0.25],
    ['10m', 600_000],
    ['24h', 86_400_000],
    ['7d', 604_800_000],
    ['7 d', 604_800_000],
    [' 5s ', 5000],
    ['0', 0],
    ['0s', 0],
  ])('%s is %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms)
  })

  it.each([
    '5',
    '',
    's',
    '-5s',
    '5 seconds',
    '5S',
    '1h30m',
    '1e3s',
    '5MiB',
    'Infinitys',
    '5constructor',
    '.5s',
  ])('%j is refused with examples and without being repeated', (text) => {
    expect(() => parseDuration(text)).toThrow(
      /^expected a duration with its unit, such as 50ms, 1\.5s, 10m, 24h or 7d(?:: (?:a number alone has none|the unit is written s))?$/,
    )
  })

  it.each([
    ['600', 'a number alone has none'],
    ['5S', 'the unit is written s'],
    ['10 minutes', 'the unit is written m'],
    ['1hr', 'the unit is written h'],
    ['5hunter2', undefined],
  ])('%j is told what is meant', (text, hint) => {
    const usual = 'expected a duration with its unit, such as 50ms, 1.5s, 10m, 24h or 7d'
    expect(() => parseDuration(text)).toThrow(
      new SyntaxError(hint === undefined ? usual : `${usual}: ${hint}`),
    )
  })

  it.each([
    [0, '0s'],
    [50, '50ms'],
    [1500, '1500ms'],
    [90_000, '90s'],
    [3_600_000, '1h'],
    [86_400_000, '1d'],
    [0.25, '0.25ms'],
  ])('%d ms is shown as %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text)
  })

  it('come back from their text exactly', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10 ** 12 }), (ms) => {
        expect(parseDuration(formatDuration(ms))).toBe(ms)
      }),
    )
  })
})

describe('sizes', () => {
  it.each([
    ['64MiB', 67_108_864],
    ['1GiB', 1_073_741_824],
    ['1.5GiB', 1_610_612_736],
    ['10kB', 10_000],
    ['0.3kB', 300],
    ['10 B', 10],
    ['1234', 1234],
    ['2TB', 2e12],
  ])('%s is %d bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes)
  })

  it.each([
    '',
    'MiB',
    '-1',
    '64M',
    '64mib',
    '10KB',
    '1.5',
    '0.0001kB',
    '5s',
    '9007199254740993',
    '1toString',
  ])('%j is refused with examples and without being repeated', (text) => {
    expect(() => parseSize(text)).toThrow(
      /^expected a size, such as 64MiB, 1GiB, 10kB or a whole number of bytes(?:: the unit is written (?:MiB|kB))?$/,
    )
  })

  it.each([
    ['128M', 'MiB'],
    ['1g', 'GiB'],
    ['10KB', 'kB'],
    ['64mib', 'MiB'],
  ])('%j is told how its unit is written', (text, unit) => {
    expect(() => parseSize(text)).toThrow(`: the unit is written ${unit}`)
  })

  it('come back from their text exactly', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (bytes) => {
        expect(parseSize(formatSize(bytes))).toBe(bytes)
      }),
    )
    for (const text of ['0B', '64MiB', '1536MiB', '10kB', '1234B', '3TiB']) {
      expect(formatSize(parseSize(text))).toBe(text)
    }
  })
})
