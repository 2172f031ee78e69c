/**
 * `npm run check`: everything a machine can say about the code without running it, one line a step.
 *
 * All steps run even when one fails, two at a time; what the failed ones printed follows at the end.
 * `npm run check -- types lint` runs only the steps named.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const DEADLINE_MS = 10 * 60_000

// Long ones first, so that two processors end together; the report keeps this order.
const STEPS = [
  { name: 'types', says: 'tsc finds no type error', run: ['tsc', '-p', '.'] },
  { name: 'page', says: 'nor in the dashboard', run: ['tsc', '-p', 'src/dashboard'] },
  {
    name: 'site-page',
    says: 'nor in what the pages of the docs run',
    run: ['tsc', '-p', 'scripts/site/browser'],
  },
  { name: 'lint', says: 'oxlint finds no broken rule', run: ['oxlint', '--type-aware', '--deny-warnings'] },
  {
    name: 'build',
    says: 'the sources compile to dist',
    run: ['node', 'scripts/build.mjs', '--out', '.cache/build'],
  },
  { name: 'layers', says: 'imports go one way', run: depcruise() },
  {
    name: 'names',
    says: 'a name that is exported is one type',
    run: ['node', 'scripts/names.mjs'],
  },
  { name: 'unused', says: 'no file, export or package is unused', run: ['knip', '--no-progress'] },
  {
    name: 'format',
    says: 'formatted, imports in order',
    run: ['biome', 'check', '--error-on-warnings', '.'],
  },
  {
    name: 'docs',
    says: 'the generated pages are up to date',
    run: ['node', 'scripts/docs/docs.ts', '--check'],
  },
  {
    name: 'links',
    says: 'every link and anchor of every page leads somewhere',
    run: ['node', 'scripts/site/check-links.ts'],
  },
  {
    name: 'site',
    says: 'the docs build as a site, without dead links or foreign hosts',
    run: ['node', 'scripts/site/build.ts', '--out', '.cache/site'],
  },
  {
    name: 'deploy',
    says: 'the manifests are what the chart renders, and agree with their settings',
    run: ['node', 'scripts/deploy/check-manifests.ts'],
  },
  {
    name: 'alerts',
    says: 'promtool takes alerts and metrics, and all that alerts and board read exists',
    run: ['node', 'scripts/deploy/monitoring/check.ts'],
  },
  {
    name: 'interop',
    says: 'docs/interop.md is what its runs saw',
    run: ['node', 'interop/run.ts', '--check'],
  },
]

const steps = chosen(process.argv.slice(2))
const width = Math.max(...steps.map((step) => step.name.length))
const failed = []
const started = performance.now()
const queue = [...steps]
await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, work))

for (const { step, output } of failed) {
  console.log(`\n── ${step.name}: ${step.run.join(' ')}\n${output.trim()}`)
}
const total = seconds(performance.now() - started)
console.log(
  failed.length === 0
    ? `\ncheck: ${steps.length} of ${steps.length} passed in ${total}`
    : `\ncheck: ${failed.map(({ step }) => step.name).join(', ')} failed (${failed.length} of ${steps.length}) in ${total}`,
)
process.exitCode = failed.length === 0 ? 0 : 1

async function work() {
  for (let step = queue.shift(); step !== undefined; step = queue.shift()) {
    const begun = performance.now()
    const { ok, output } = await execute(step.run)
    if (!ok) failed.push({ step, output })
    const line = ok
      ? `ok      ${step.name.padEnd(width)}  ${step.says}`
      : `FAILED  ${step.name.padEnd(width)}`
    console.log(`${line}  (${seconds(performance.now() - begun)})`)
  }
}

function execute([command, ...args]) {
  const PATH = `${join(root, 'node_modules', '.bin')}${delimiter}${process.env.PATH}`
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, PATH },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    const keep = (chunk) => {
      output += chunk
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    const timer = setTimeout(() => {
      output += `\nstopped after ${seconds(DEADLINE_MS)}`
      child.kill('SIGKILL')
    }, DEADLINE_MS)
    child.on('error', (error) => end(false, `${error.message}\n${output}`))
    child.on('close', (code) => end(code === 0, output))
    function end(ok, text) {
      clearTimeout(timer)
      resolve({ ok, output: text })
    }
  })
}

function chosen(names) {
  const unknown = names.filter((name) => !STEPS.some((step) => step.name === name))
  if (unknown.length > 0) {
    console.error(
      `check: no step ${unknown.join(', ')}; there are ${STEPS.map((step) => step.name).join(', ')}`,
    )
    process.exit(1)
  }
  return names.length === 0 ? STEPS : STEPS.filter((step) => names.includes(step.name))
}

function depcruise() {
  const folders = ['src', 'test', 'bench', 'interop', 'scripts'].filter((folder) =>
    existsSync(join(root, folder)),
  )
  return ['depcruise', '--config', '.dependency-cruiser.mjs', ...folders]
}

function seconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`
}
