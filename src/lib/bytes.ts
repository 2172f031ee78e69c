/**
 * Durations and sizes as people write them (`50ms`, `64MiB`) and as programs count them (milliseconds,
 * bytes). One place, so that the YAML, the command line and the admin API read the same words.
 */

const MS_PER_UNIT: Readonly<Record<string, number>> = { ms: 1, s: 1e3, m: 60e3, h: 3_600e3, d: 86_400e3 }

const BYTES_PER_UNIT: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  KiB: 2 ** 10,
  MB: 1e6,
  MiB: 2 ** 20,
  GB: 1e9,
  GiB: 2 ** 30,
  TB: 1e12,
  TiB: 2 ** 40,
}

const NUMBER_AND_UNIT = /^(\d+(?:\.\d+)?)\s?([A-Za-z]*)$/

/**
 * Milliseconds of `50ms`, `1.5s`, `10m`, `24h`, `7d`. A number needs its unit; only 0 stands alone.
 * @throws SyntaxError that names the forms. The text itself is not repeated: it may be a misplaced secret.
 */
export function parseDuration(text: string): number {
  const [number, unit] = split(text)
  if (number === 0 && unit === '') return 0
  const factor = factorOf(MS_PER_UNIT, unit)
  if (number === undefined || factor === undefined) {
    const usual = 'expected a duration with its unit, such as 50ms, 1.5s, 10m, 24h or 7d'
    if (number === undefined) throw new SyntaxError(usual)
    throw new SyntaxError(
      unit === '' ? `${usual}: a number alone has none` : usual + meant(DURATION_WORDS, unit),
    )
  }
  // Fifteen digits are exact in a double; what is finer is the noise of binary fractions (1.1s is 1100ms).
  return Number((number * factor).toPrecision(15))
}

/** The shortest exact form: the largest unit that divides it, so `90000` is `90s` and `86400000` is `1d`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s'
  for (const unit of ['d', 'h', 'm', 's']) {
    const count = ms / (MS_PER_UNIT[unit] as number)
    if (Number.isInteger(count)) return `${count}${unit}`
  }
  return `${ms}ms`
}

/**
 * Bytes of `64MiB`, `1GiB`, `10kB`, `1.5GiB`, or of a whole number without a unit.
 * @throws SyntaxError that names the forms. The text itself is not repeated: it may be a misplaced secret.
 */
export function parseSize(text: string): number {
  const [number, unit] = split(text)
  const factor = unit === '' ? 1 : factorOf(BYTES_PER_UNIT, unit)
  const bytes = number === undefined || factor === undefined ? Number.NaN : number * factor
  const whole = Math.round(bytes)
  if (!Number.isSafeInteger(whole) || Math.abs(bytes - whole) > 1e-6) {
    const usual = 'expected a size, such as 64MiB, 1GiB, 10kB or a whole number of bytes'
    throw new SyntaxError(number === undefined ? usual : usual + meant(SIZE_WORDS, unit))
  }
  return whole
}

/** The shortest exact form: `67108864` is `64MiB`, `10000` is `10kB`, `1234` is `1234B`. */
export function formatSize(bytes: number): string {
  if (bytes === 0) return '0B'
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB', 'TB', 'GB', 'MB', 'kB']) {
    const count = bytes / (BYTES_PER_UNIT[unit] as number)
    if (Number.isInteger(count)) return `${count}${unit}`
  }
  return `${bytes}B`
}

function split(text: string): [number: number | undefined, unit: string] {
  const parts = NUMBER_AND_UNIT.exec(text.trim())
  return parts ? [Number(parts[1]), parts[2] ?? ''] : [undefined, '']
}

/** A unit is one of ours or nothing: `constructor` must not be found on the table's prototype. */
function factorOf(units: Readonly<Record<string, number>>, unit: string): number | undefined {
  return Object.hasOwn(units, unit) ? units[unit] : undefined
}

/** What people write elsewhere, in lower case, and what it is here. */
const DURATION_WORDS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    ms: 'msec msecs millis millisecond milliseconds',
    s: 'sec secs second seconds',
    m: 'min mins minute minutes',
    h: 'hr hrs hour hours',
    d: 'day days',
  }).flatMap(([unit, words]) => [unit, ...words.split(' ')].map((word) => [word, unit] as const)),
)
const SIZE_WORDS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    B: 'byte bytes',
    kB: 'kb',
    KiB: 'k ki kib',
    MB: 'mb',
    MiB: 'm mi mib',
    GB: 'gb',
    GiB: 'g gi gib',
    TB: 'tb',
    TiB: 't ti tib',
  }).flatMap(([unit, words]) =>
    [unit.toLowerCase(), ...words.split(' ')].map((word) => [word, unit] as const),
  ),
)

function meant(words: ReadonlyMap<string, string>, unit: string): string {
  const known = words.get(unit.toLowerCase())
  return known === undefined || known === unit ? '' : `: the unit is written ${known}`
}
