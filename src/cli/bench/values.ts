/** Reads the values of the options of `infergate bench`. */
import { CommanderError, InvalidArgumentError } from 'commander'
import { parseInput, type RowInput } from '../../load-test/dialects/input.ts'
import { PROFILE_FORMS, type Profile, ProfileError, parseProfile } from '../../load-test/profile.ts'
import { parseSlo, SloError, type SloPromise } from '../../load-test/slo.ts'
import { durationMs, share } from '../../load-test/units.ts'

/** Refuses numbers above `max`, for which memory or a timer would not suffice. */
export function upTo(max: number): (value: string) => number {
  return (value) => {
    const number = Number(value)
    if (Number.isInteger(number) && number >= 1 && number <= max) return number
    throw new InvalidArgumentError(`Write a whole number from 1 to ${max}.`)
  }
}

export function serverUrl(value: string): string {
  const url = URL.parse(value)
  if (url && /^(?:http|grpc)s?:$/.test(url.protocol) && url.search === '' && url.hash === '') return value
  throw new InvalidArgumentError('Write a URL such as http://127.0.0.1:8080.')
}

export function absolute(value: string): string {
  if (/^\/[\x21-\x7e]*$/.test(value)) return value
  throw new InvalidArgumentError('Write a path such as /v1/models/digits:predict.')
}

export function exponent(value: string): number {
  const number = Number(value)
  if (value.trim() !== '' && number >= 0 && number <= 5) return number
  throw new InvalidArgumentError('Write a number from 0 to 5.')
}

export function factor(value: string): number {
  const number = Number(value)
  if (number > 0 && number <= 1000) return number
  throw new InvalidArgumentError('Write a number above 0, up to 1000.')
}

export function shareOf(value: string): number {
  const part = share(value)
  if (part !== undefined) return part
  throw new InvalidArgumentError('Write a share such as 0.5 or 50%.')
}

/** Seconds, where no unit is given. */
export function pause(value: string): number {
  const ms = durationMs(/^[\d.]+$/.test(value) ? `${value}s` : value)
  if (ms !== undefined && ms <= 24 * 3_600_000) return ms
  throw new InvalidArgumentError('Write a duration of at most a day, such as 500ms, 30s or 5m.')
}

export function duration(value: string): number {
  const ms = pause(value)
  if (ms > 0) return ms
  throw new InvalidArgumentError('Write a duration above 0, such as 500ms, 30s or 5m.')
}

export function inputs(value: string, before: readonly RowInput[] = []): readonly RowInput[] {
  const input = parseInput(value)
  if (input) return [...before, input]
  throw new InvalidArgumentError(
    'Write name:DATATYPE:SIZES, such as image:FP32:8x8, or id:INT64 for one number.',
  )
}

export const collected = (value: string, before: readonly string[] = []): readonly string[] => [
  ...before,
  value,
]

/** `help` prints the forms and ends the command, as `--help` does. */
export function profile(value: string): Profile {
  if (value === 'help') {
    process.stdout.write(`${PROFILE_FORMS}\n`)
    throw new CommanderError(0, 'infergate.profileHelp', '')
  }
  return parsed(() => parseProfile(value))
}

export function slo(value: string): readonly SloPromise[] {
  return parsed(() => parseSlo(value))
}

function parsed<T>(parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (error instanceof ProfileError || error instanceof SloError)
      throw new InvalidArgumentError(error.message)
    throw error
  }
}
