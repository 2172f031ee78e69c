/** `infergate keys`: makes API keys. Nothing is sent anywhere: the gateway learns of a key by its line in the settings. */
import { randomBytes } from 'node:crypto'
import { Command } from 'commander'
import { readKeys } from '../config/keys-file.ts'
import { digestOf } from '../core/key.ts'
import { UserError } from './user-error.ts'

interface NewKeyOptions {
  readonly name: string
  readonly tenant: string
  readonly subject?: string
}

/** As many bits as a SHA-256, so that no hash of a key can be turned into it. */
const KEY_BYTES = 32
/** Shows in logs and scanners for secrets what was left lying about. */
const PREFIX = 'ig_'

const EXAMPLES = `
The key is printed once and kept nowhere; the line behind it goes into auth.keys, or into the file that auth.keysFile names.
Callers send the key as "Authorization: Bearer KEY", or as x-api-key.

Examples:
  infergate keys new --name app-1 --tenant mobile
  infergate keys new --name app-2 --tenant mobile --subject checkout`

/** The command, for the program to mount. */
export function keysCommand(): Command {
  const made = new Command('new')
    .description('print a new API key, and its line for the settings')
    .requiredOption('--name <name>', 'which key it is, for people')
    .requiredOption('--tenant <tenant>', 'whose key it is')
    .option('--subject <subject>', 'who of the tenant it is; default: the tenant itself')
    .addHelpText('after', EXAMPLES)
    .action((options: NewKeyOptions) => {
      const { key, line } = newKey(options)
      process.stdout.write(`${key}\n${line}\n`)
    })
  return new Command('keys').description('make API keys').addCommand(made)
}

/** A key, and its line for `auth.keys`. */
export function newKey({ name, tenant, subject }: NewKeyOptions): {
  readonly key: string
  readonly line: string
} {
  const key = `${PREFIX}${randomBytes(KEY_BYTES).toString('base64url')}`
  const hash = `sha256:${Buffer.from(digestOf(key), 'latin1').toString('hex')}`
  const fields = { name, hash, tenant, ...(subject === undefined ? {} : { subject }) }
  const text = Object.entries(fields).map(([field, value]) => `${field}: ${JSON.stringify(value)}`)
  const line = `- { ${text.join(', ')} }`
  try {
    readKeys(line)
  } catch (error) {
    throw new UserError(`no such key can be made: ${(error as Error).message.replace(/^\[0\]\./, '')}`)
  }
  return { key, line }
}
