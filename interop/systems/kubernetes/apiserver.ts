/**
 * kube-apiserver, built from its Go module. The module's own `replace` lines do not count in ours, so each staging
 * module is replaced by its published version.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { NotInstalled } from '../../suite/not-installed.ts'
import { CACHE } from '../../suite/places.ts'
import { run } from '../../suite/run.ts'

const BUILD_MS = 30 * 60_000

export const KUBERNETES = '1.34.2'

const TOOLS = `//go:build tools

package kube

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
`

/** The path of the program; built once, which takes some minutes. Rejects with NotInstalled where there is no Go. */
export async function kubeApiserver(say: (line: string) => void): Promise<string> {
  const folder = join(CACHE, 'go', `kubernetes-${KUBERNETES}`)
  const path = join(folder, 'kube-apiserver')
  if (existsSync(path)) return path
  say('building kube-apiserver, which takes some minutes')
  mkdirSync(folder, { recursive: true })
  const go = (...args: string[]) => run('go', args, { cwd: folder, timeoutMs: BUILD_MS })
  try {
    await go('mod', 'download', `k8s.io/kubernetes@v${KUBERNETES}`)
    const modules = (await go('env', 'GOMODCACHE')).stdout.trim()
    const theirs = join(modules, 'cache', 'download', 'k8s.io', 'kubernetes', '@v', `v${KUBERNETES}.mod`)
    writeFileSync(join(folder, 'go.mod'), moduleFile(readFileSync(theirs, 'utf8')))
    writeFileSync(join(folder, 'tools.go'), TOOLS)
    await go('mod', 'tidy')
    await go('build', '-o', path, 'k8s.io/kubernetes/cmd/kube-apiserver')
  } catch (error) {
    throw new NotInstalled(`kube-apiserver cannot be built: ${String(error).slice(0, 500)}`, { cause: error })
  }
  return path
}

function moduleFile(theirs: string): string {
  const staging = [...theirs.matchAll(/^\s*(k8s\.io\/[a-z0-9-]+) => /gm)].map(([, name]) => name)
  const published = KUBERNETES.replace('1.', '0.')
  const replaced = staging.map((name) => `\t${name} => ${name} v${published}`).join('\n')
  return `module kube\n\ngo 1.24.0\n\nrequire k8s.io/kubernetes v${KUBERNETES}\n\nreplace (\n${replaced}\n)\n`
}
