/** Whether the packages are there, told by one small file: no npm is asked when nothing changed. */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Failure } from './say.mjs'

const STAMP = '.infergate-setup'

const WHOLE = ' whole'
/** The workspace that brings Node, and what it brings. */
const OF_NODE = /^scripts\/node$|^node_modules\/(infergate-node|node-linux-|node-bin-)/

/** What an up-to-date installation is stamped with: the locked packages, and the platform they were chosen for. */
export function stampOf(root) {
  const path = join(root, 'package-lock.json')
  if (!existsSync(path))
    throw new Failure(`${path} is missing: it is part of the repository, git checkout brings it back`)
  const lock = readFileSync(path)
  return `${createHash('sha256').update(lock).digest('hex')} ${process.platform}-${process.arch}`
}

/** Whether the packages of this stamp are there: all of them, or at least those that running needs. */
export function isStamped(modules, stamp, isWhole) {
  const found = readStamp(modules)
  return found === stamp + WHOLE || (!isWhole && found === stamp)
}

/** Whether the last installation was of all packages, be they up to date or not. */
export function hasEverything(modules) {
  return readStamp(modules)?.endsWith(WHOLE) ?? false
}

function readStamp(modules) {
  try {
    return readFileSync(join(modules, STAMP), 'utf8')
  } catch {
    return undefined
  }
}

export function writeStamp(modules, stamp, isWhole) {
  writeFileSync(join(modules, STAMP), isWhole ? stamp + WHOLE : stamp)
}

/**
 * True when somebody already ran `npm ci` by hand: npm notes what it installed in a hidden lock file,
 * written last. Packages for other platforms may be missing, and those that the scope leaves out;
 * everything else must be the same.
 */
export function adoptable(root, { isWhole, withNode }) {
  const installed = packagesOf(join(root, 'node_modules', '.package-lock.json'))
  const wanted = packagesOf(join(root, 'package-lock.json'))
  if (installed === undefined || wanted === undefined) return false
  return Object.entries(wanted).every(([path, entry]) => {
    if (!isWhole && entry.dev) return true
    if (!withNode && OF_NODE.test(path)) return true
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
  // Of the tools, what has neither is the dependency of such a package (the wasm32 ones have some), never needed by itself.
  if (entry.os === undefined && entry.cpu === undefined) return !entry.dev
  const musl = path.includes('musl') || [entry.libc].flat().includes('musl')
  return !musl && allows(entry.os, process.platform) && allows(entry.cpu, process.arch)
}

function allows(list, value) {
  return list === undefined || [list].flat().includes(value)
}
