/**
 * `npm run docs`: writes what is made from the schema of the settings and from the chart's values. With `--check` it
 * writes nothing and exits 1 where a file is not what it would write.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { valuesPage } from '../deploy/values-page.ts'
import { valuesSchema } from '../deploy/values-schema.ts'
import { jsonSchema } from './json-schema.ts'
import { referencePage } from './reference-page.ts'
import { restartPaths } from './restart-paths.ts'

const ROOT = join(import.meta.dirname, '..', '..')

const SETTINGS = 'src/config/schema.ts'
const VALUES = "the chart's values.yaml"

const DOCUMENTS: ReadonlyArray<readonly [file: string, source: string, make: () => string]> = [
  ['config/schema.json', SETTINGS, jsonSchema],
  ['docs/reference/config.md', SETTINGS, referencePage],
  ['deploy/helm/infergate/files/restart.json', SETTINGS, restartPaths],
  ['deploy/helm/infergate/values.schema.json', VALUES, valuesSchema],
  ['docs/reference/helm-values.md', VALUES, valuesPage],
]

function present(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

const isCheck = process.argv.includes('--check')
for (const [name, source, make] of DOCUMENTS) {
  const file = join(ROOT, name)
  const text = make()
  if (present(file) === text) continue
  if (isCheck) {
    process.stderr.write(`${name} does not say what ${source} says: run npm run docs\n`)
    process.exitCode = 1
  } else {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
    process.stdout.write(`wrote ${name}\n`)
  }
}
