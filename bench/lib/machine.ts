/** Where and with what a measurement was made: a number without it says nothing. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import os from 'node:os'

export interface Machine {
  readonly date: string
  readonly cpu: string
  readonly cores: number
  readonly kernel: string
  readonly loadAverage: number
  readonly commit: string
  readonly versions: Readonly<Record<string, string>>
}

export function machine(): Machine {
  return {
    date: new Date().toISOString(),
    cpu: /^model name\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown',
    cores: os.cpus().length,
    kernel: os.release(),
    loadAverage: os.loadavg()[0] ?? 0,
    commit: commit(),
    versions: {
      node: process.version,
      nginx: said('/usr/sbin/nginx', ['-v']).replace(/.*\//, ''),
      haproxy: said('/usr/sbin/haproxy', ['-v']).split(' ')[2] ?? '',
      varnish: /varnish-([\d.]+)/.exec(said('/usr/sbin/varnishd', ['-V']))?.[1] ?? '',
      redis: /v=([\d.]+)/.exec(said('redis-server', ['--version']))?.[1] ?? '',
      wrk: /^wrk (\S+)/.exec(said('wrk', ['-v']))?.[1] ?? '',
    },
  }
}

/** Of what is measured and what measures it; results that are being written do not make it another. */
function commit(): string {
  const changed = said('git', [
    'status',
    '--porcelain',
    '--',
    'src',
    'bench',
    ':!bench/results',
    'package-lock.json',
  ])
  return `${said('git', ['rev-parse', '--short=12', 'HEAD'])}${changed === '' ? '' : ' with changes'}`
}

/** The first line of what a program says of itself, on either stream. */
function said(command: string, args: readonly string[]): string {
  try {
    const out = execFileSync('/bin/sh', ['-c', '"$0" "$@" 2>&1 || true', command, ...args]).toString()
    return out.split('\n')[0]?.trim() ?? ''
  } catch {
    return ''
  }
}
