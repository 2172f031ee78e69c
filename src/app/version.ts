/** The version of this installation, as its package.json has it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { INSTALLATION } from '../lib/installation.ts'

export function ownVersion(): string {
  const file = join(INSTALLATION, 'package.json')
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}
