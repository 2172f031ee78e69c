/**
 * `version`, which npm runs between the change of package.json and the commit: dates the section of CHANGELOG.md, writes the version
 * wherever else it stands, and stages all of it. npm then commits and tags. Nothing is pushed or published.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { released } from './changelog.ts'
import { manifestsAnew, withVersion } from './places.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const { npm_old_version: from, npm_new_version: to } = process.env

if (from === undefined || to === undefined) {
  process.stderr.write('this is a part of `npm version X`: run that\n')
  process.exitCode = 1
} else stamp(from, to)

function stamp(from: string, to: string): void {
  const changed: string[] = []
  const write = (file: string, text: string) => {
    writeFileSync(join(ROOT, file), text)
    changed.push(file)
  }
  const changelog = readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8')
  const dated = released(changelog, to, new Date().toISOString().slice(0, 10))
  for (const [file, text] of withVersion(ROOT, from, to)) write(file, text)
  write('CHANGELOG.md', dated)
  manifestsAnew(write)
  // What is made of the schema and the chart may name the version one day.
  execFileSync(process.execPath, [join(ROOT, 'scripts', 'docs', 'docs.ts')], { stdio: 'inherit' })
  execFileSync('git', ['add', '--update', '.'], { cwd: ROOT })
  process.stdout.write(`${to} is written in ${new Set(changed).size} files besides package.json\n`)
}
