/**
 * `preversion`: is this commit one to release? The tree is clean, there is something to release, and the tests and checks of `.ci/run`
 * have passed for this very commit: where they have not yet, they are run now.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { unreleased } from './changelog.ts'

const ROOT = join(import.meta.dirname, '..', '..')
/** Written by `.ci/run`: the commit that passed. */
const GREEN = join(ROOT, '.cache', 'green')

const git = (...args: readonly string[]) => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim()

const why = obstacle()
if (why !== undefined) {
  process.stderr.write(`no release: ${why}\n`)
  process.exitCode = 1
}

function obstacle(): string | undefined {
  const changes = git('status', '--porcelain')
  if (changes !== '') return `these are not committed:\n${changes}`
  if (unreleased(readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8')) === '')
    return 'CHANGELOG.md has nothing under "Unreleased"'
  const commit = git('rev-parse', 'HEAD')
  if (passed() === commit) return undefined
  process.stderr.write(`.ci/run has not passed for ${commit.slice(0, 12)} yet: running it\n`)
  const { status } = spawnSync(join(ROOT, '.ci', 'run'), { cwd: ROOT, stdio: 'inherit' })
  return status === 0 ? undefined : '.ci/run has failed'
}

function passed(): string | undefined {
  try {
    return readFileSync(GREEN, 'utf8').trim()
  } catch {
    return undefined
  }
}
