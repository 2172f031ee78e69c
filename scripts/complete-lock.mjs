/**
 * Completes package-lock.json after `npm install`.
 *
 * npm leaves a platform's package out of the lock file when the registry at hand does not carry it
 * (mirrors often hold only the platforms they serve), and `npm ci` then refuses the file everywhere:
 * "Missing: … from lock file". The parents name these packages with exact versions, so their entries
 * can be written without asking anybody. They carry no integrity: on their own platform npm adds it.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const OS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'openharmony', 'sunos', 'win32']
const CPU = ['arm64', 'arm', 'ia32', 'loong64', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64']

const path = join(dirname(dirname(fileURLToPath(import.meta.url))), 'package-lock.json')
const lock = JSON.parse(readFileSync(path, 'utf8'))
const added = {}
for (const parent of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`
    if (lock.packages[key] || !/^\d+\.\d+\.\d+[-\w.]*$/.test(version)) continue
    added[key] = entryOf(name, version, parent.dev)
  }
}

if (Object.keys(added).length > 0) {
  const all = Object.entries({ ...lock.packages, ...added })
  lock.packages = Object.fromEntries(all.toSorted(([a], [b]) => a.localeCompare(b, 'en')))
  writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`)
}
console.log(`package-lock.json: ${Object.keys(added).length} platform packages added`)

function entryOf(name, version, dev) {
  const words = name.split(/[/_-]/)
  const os = OS.filter((word) => words.includes(word))
  const cpu = CPU.filter((word) =>
    words.some((part) => part === word || (word === 'arm' && /^arm(eabi|v\d)/.test(part))),
  )
  const libc = name.endsWith('-musl') || name.includes('musleabi') ? ['musl'] : undefined
  return {
    version,
    ...(cpu.length > 0 && { cpu }),
    ...(dev && { dev }),
    ...(libc && { libc }),
    optional: true,
    ...(os.length > 0 && { os }),
  }
}
