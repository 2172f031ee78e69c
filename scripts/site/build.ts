/**
 * `npm run docs:site`: all pages of the repository as a site in `dist-site`, which needs no server: opened as files it has its
 * search as well. `--out FOLDER` writes elsewhere. Fails where a link of the site leads nowhere, or anything comes from another host.
 */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { checkSite } from './check-site.ts'
import { brokenLinks } from './links.ts'
import { ROOT, readRepository } from './repository.ts'
import { buildSite } from './site.ts'

const { values } = parseArgs({ options: { out: { type: 'string', default: 'dist-site' } } })
const out = resolve(ROOT, values.out)
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
const library = readRepository(ROOT)
// A site of pages that lead nowhere is none.
if (tell(brokenLinks(library))) {
  const pages = await buildSite(library, { root: ROOT, out, version })
  if (tell(checkSite(out))) process.stdout.write(`${pages} pages: ${join(out, 'index.html')}\n`)
}

/** True where there is nothing to tell. */
function tell(problems: readonly string[]): boolean {
  for (const problem of problems) process.stderr.write(`${problem}\n`)
  if (problems.length > 0) process.exitCode = 1
  return problems.length === 0
}
