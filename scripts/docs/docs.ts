/**
 * `npm run docs`: writes config/schema.json and docs/reference/config.md from the schema. With `--check` it
 * writes nothing and exits 1 where a file is not what it would write.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { jsonSchema } from './json-schema.ts'
import { referencePage } from './reference-page.ts'

const ROOT = join(import.meta.dirname, '..', '..')

const DOCUMENTS: ReadonlyArray<readonly [file: string, make: () => string]> = [
  ['config/schema.json', jsonSchema],
  ['docs/reference/config.md', referencePage],
]

function present(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

const isCheck = process.argv.includes('--check')
for (const [name, make] of DOCUMENTS) {
  const file = join(ROOT, name)
  const text = make()
  if (present(file) === text) continue
  if (isCheck) {
    process.stderr.write(`${name} does not say what src/config/schema.ts says: run npm run docs\n`)
    process.exitCode = 1
  } else {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
    process.stdout.write(`wrote ${name}\n`)
  }
}
