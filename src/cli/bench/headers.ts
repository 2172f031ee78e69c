/** The header fields that a load test sends. Whatever is on a command line can be read by all users of the machine, so secrets are not taken from there. */
import { readFileSync } from 'node:fs'
import { isFieldName, isFieldValue } from '../../core/field-syntax.ts'
import { CREDENTIAL_FIELDS } from '../../core/fields.ts'
import { UserError } from '../user-error.ts'

export interface HeaderSources {
  /** `name: value`, from the command line. */
  readonly header?: readonly string[]
  readonly headersFile?: string
  readonly bearerFile?: string
}

/** Names in lower case and values in turn. Throws UserError. */
export function headersFrom(
  { header = [], headersFile, bearerFile }: HeaderSources,
  env: Readonly<Record<string, string | undefined>>,
): string[] {
  const given = header.flatMap((text) => {
    const field = fieldOf(text, '--header')
    if (CREDENTIAL_FIELDS.includes(field[0].replaceAll('_', '-')))
      throw new UserError(
        `--header ${field[0]}: every user of this machine can read a command line; put the line into a file and give --headers-file`,
      )
    return field
  })
  const lines = headersFile === undefined ? [] : textOf('--headers-file', headersFile).split(/\r?\n/)
  const filed = lines
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .flatMap((line) => fieldOf(line, `--headers-file ${headersFile}`))
  const token =
    bearerFile === undefined ? env['INFERGATE_BENCH_TOKEN'] : textOf('--bearer-file', bearerFile).trim()
  const bearer = token ? ['authorization', `Bearer ${checked(token)}`] : []
  return [...given, ...filed, ...bearer]
}

/** The message has no value in it, which may be a secret. */
function fieldOf(text: string, source: string): [name: string, value: string] {
  const colon = text.indexOf(':')
  const [name, value] = [text.slice(0, colon).trim().toLowerCase(), text.slice(colon + 1).trim()]
  if (colon > 0 && isFieldName(name) && isFieldValue(value)) return [name, value]
  throw new UserError(`${source}: write each field as "name: value"`)
}

function checked(token: string): string {
  if (/^[\x21-\x7e]+$/.test(token)) return token
  throw new UserError('the token for the calls must be one word')
}

export function textOf(option: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new UserError(`cannot read ${option} ${file}: ${(error as Error).message}`)
  }
}
