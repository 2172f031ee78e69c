/** `npm version` is the whole of a release: in a repository of its own, with the files of this one. */
import { execFile, execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'

// It starts a dozen processes, one after the other.
vi.setConfig({ testTimeout: 180_000 })

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const repository = mkdtempSync(join(tmpdir(), 'infergate-release-'))
const NODE = join(ROOT, 'node_modules', '.bin')
const read = (file: string) => readFileSync(join(repository, file), 'utf8')

const env = {
  // As from somebody's shell, and not from the npm that runs the tests.
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|GIT_)/i.test(name))),
  PATH: `${NODE}:${process.env['PATH']}`,
  GIT_AUTHOR_NAME: 'A',
  GIT_AUTHOR_EMAIL: 'a@example.com',
  GIT_COMMITTER_NAME: 'A',
  GIT_COMMITTER_EMAIL: 'a@example.com',
}

const git = (...args: readonly string[]) =>
  execFileSync('git', args, { cwd: repository, encoding: 'utf8', env }).trim()

async function npmVersion(to: string): Promise<{ code: number; output: string }> {
  try {
    const { stdout, stderr } = await promisify(execFile)('npm', ['version', to], { cwd: repository, env })
    return { code: 0, output: stdout + stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, output: stdout + stderr }
  }
}

function commit(message: string, files: Readonly<Record<string, string>>): void {
  for (const [file, text] of Object.entries(files)) writeFileSync(join(repository, file), text)
  git('commit', '--quiet', '--all', '--message', message)
}

/** As `.ci/run` notes it. */
function markGreen(): void {
  mkdirSync(join(repository, '.cache'), { recursive: true })
  writeFileSync(join(repository, '.cache', 'green'), `${git('rev-parse', 'HEAD')}\n`)
}

beforeAll(() => {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 64 * 2 ** 20,
  })
  // What was recorded of others is large, and no part of it.
  for (const file of listed.split('\0').filter((file) => file && !file.startsWith('test/golden/'))) {
    mkdirSync(dirname(join(repository, file)), { recursive: true })
    cpSync(join(ROOT, file), join(repository, file))
  }
  symlinkSync(join(ROOT, 'node_modules'), join(repository, 'node_modules'))
  git('init', '--quiet', '--initial-branch', 'main')
  git('config', 'commit.gpgsign', 'false')
  git('config', 'tag.gpgsign', 'false')
  git('add', '--all')
  git('commit', '--quiet', '--message', 'all')
  const changelog = read('CHANGELOG.md')
  commit('docs: something new', {
    'CHANGELOG.md': changelog.replace('## Unreleased\n', '## Unreleased\n\n### New\n- Something new.\n'),
  })
})

afterAll(() => rmSync(repository, { recursive: true, force: true }))

test('a tree with changes is not released', async () => {
  writeFileSync(join(repository, 'new.txt'), 'not committed')
  const { code, output } = await npmVersion('99.0.0')
  rmSync(join(repository, 'new.txt'))
  expect({ code, output }).toEqual({ code: 1, output: expect.stringContaining('?? new.txt') })
})

test('a commit that has not passed is not released', async () => {
  const run = read('.ci/run')
  commit('ci: fails', { '.ci/run': '#!/bin/sh\necho "0 passed, 1 failed"\nexit 1\n' })
  const { code, output } = await npmVersion('99.0.0')
  commit('ci: as it was', { '.ci/run': run })
  expect(code).toBe(1)
  expect(output).toContain('0 passed, 1 failed')
  expect(output).toContain('no release: .ci/run has failed')
  expect(git('tag')).toBe('')
})

test('one that has is: dated, written everywhere, committed and tagged', async () => {
  const { version: before } = JSON.parse(read('package.json')) as { version: string }
  markGreen()
  const { code, output } = await npmVersion('99.0.0')
  expect(code, output).toBe(0)
  expect(git('log', '-1', '--format=%s')).toBe('release: 99.0.0')
  expect(read('package.json')).toContain('"version": "99.0.0"')
  expect(git('tag', '--points-at', 'HEAD')).toBe('v99.0.0')
  expect(git('status', '--porcelain')).toBe('')
  const today = new Date().toISOString().slice(0, 7)
  expect(read('CHANGELOG.md')).toMatch(
    new RegExp(`^## Unreleased\n\n## 99\\.0\\.0 - ${today}-\\d\\d\n\n### New\n- Something new\\.\n`, 'm'),
  )
  const places = ['deploy', 'Dockerfile', 'docs/guide', 'integrations', 'README.md']
  // Of ours: packages may have the same number. It ends with 1 where it finds nothing.
  const ours = `(infergate[:-]|ersion[^0-9]{1,5})${before.replaceAll('.', '\\.')}`
  expect(() => git('grep', '--line-number', '--extended-regexp', ours, '--', ...places)).toThrow(
    expect.objectContaining({ status: 1 }),
  )
})

test('and what `npm run check` compares with package.json agrees', async () => {
  const node = (...args: readonly string[]) =>
    promisify(execFile)(join(NODE, 'node'), args, { cwd: repository, env })
  await node('scripts/deploy/check-manifests.ts')
  await node('scripts/docs/docs.ts', '--check')
  await node('scripts/site/check-links.ts')
  expect((await node('src/main.ts', '--version')).stdout).toBe('99.0.0\n')
})

test('where nothing new stands in the changelog there is nothing to release', async () => {
  markGreen()
  const { code, output } = await npmVersion('99.0.1')
  expect(code).toBe(1)
  expect(output).toContain('CHANGELOG.md has nothing under "Unreleased"')
})
