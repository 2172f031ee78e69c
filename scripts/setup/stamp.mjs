/** Whether the packages are there, told by one small file: no npm is asked when nothing changed. */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Failure } from './say.mjs'

const STAMP = '.infergate-setup'

/** What an up-to-date installation is stamped with: the locked packages, and the platform they were chosen for. */
export function wantedStamp(root) {
  const path = join(root, 'package-lock.json')
  if (!existsSync(path))
    throw new Failure(`${path} is missing: it is part of the repository, git checkout brings it back`)
  const lock = readFileSync(path)
  return `${createHash('sha256').update(lock).digest('hex')} ${process.platform}-${process.arch}`
}

export function readStamp(modules) {
  try {
    return readFileSync(join(modules, STAMP), 'utf8')
  } catch {
    return undefined
  }
}

export function writeStamp(modules, stamp) {
  writeFileSync(join(modules, STAMP), stamp)
}

/**
 * True when somebody already ran `npm ci` by hand: npm notes what it installed in a hidden lock file,
 * written last. Packages for other platforms may be missing, everything else must be the same.
 */
export function adoptable(root) {
  const installed = packagesOf(join(root, 'node_modules', '.package-lock.json'))
  const wanted = packagesOf(join(root, 'package-lock.json'))
  if (installed === undefined || wanted === undefined) return false
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '' || (entry.optional && !fitsHere(path, entry))) return true
    return installed[path]?.integrity === entry.integrity && existsSync(join(root, path))
  })
}

function packagesOf(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).packages
  } catch {
    return undefined
  }
}

function fitsHere(path, entry) {
  // Without os and cpu it is the dependency of such a package (the wasm32 ones have some), never needed by itself.
  if (entry.os === undefined || entry.cpu === undefined) return false
  const musl = path.includes('musl') || [entry.libc].flat().includes('musl')
  return !musl && allows(entry.os, process.platform) && allows(entry.cpu, process.arch)
}

function allows(list, value) {
  return [list].flat().includes(value)
}
