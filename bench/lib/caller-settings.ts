/** Settings with so many tenants and keys, and the key that the load shows. */
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

const KEYS_EACH = 10
const keyOf = (number: number): string => `bench-key-${number}`

/** In the middle of the list, wherever that ends. */
export const SHOWN = { Authorization: `Bearer ${keyOf(7)}` }

/** The lines of the YAML; the keys are in a file beside it. Every tenant has a rate, which no load of here uses up. */
export function callerSettings(folder: string, tenants: number): string {
  const file = join(folder, 'keys.json')
  const keys = Array.from({ length: tenants * KEYS_EACH }, (_, number) => ({
    name: `key-${number}`,
    hash: `sha256:${createHash('sha256').update(keyOf(number)).digest('hex')}`,
    tenant: `tenant-${number % tenants}`,
  }))
  writeFileSync(file, JSON.stringify(keys))
  const lines = Array.from(
    { length: tenants },
    (_, number) => `  tenant-${number}: { rate: { requests: 100M/s }, concurrency: 1000000 }`,
  )
  return `auth: { keysFile: ${file} }\ntenants:\n${lines.join('\n')}`
}
