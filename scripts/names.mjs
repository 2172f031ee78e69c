/**
 * One name, one thing: finds the types, interfaces, classes and enums that are exported under a name which another
 * file declares as well, exported or not. A reader of such a name must look up the import to know which one is meant.
 * `node scripts/names.mjs [FOLDER]` (src) prints them, and exits with 1 where there are any.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

// The formatter puts what a module declares at the beginning of a line, with one space between words.
const DECLARATION =
  /^(export )?(?:default )?(?:declare )?(?:abstract )?(?:const )?(?:type|interface|class|enum) (\w+)/gm

const folder = process.argv[2] ?? 'src'
const declared = new Map()
for (const path of readdirSync(folder, { recursive: true })) {
  if (path.endsWith('.ts')) note(join(folder, path))
}
const repeated = [...declared].filter(([, { isExported, files }]) => isExported && files.size > 1)
for (const [name, { files }] of repeated) {
  console.error(`${name} is declared in ${[...files].join(' and ')}`)
}
process.exitCode = repeated.length === 0 ? 0 : 1

function note(path) {
  for (const [, exported, name] of readFileSync(path, 'utf8').matchAll(DECLARATION)) {
    const { isExported = false, files = new Set() } = declared.get(name) ?? {}
    declared.set(name, { isExported: isExported || exported !== undefined, files: files.add(path) })
  }
}
