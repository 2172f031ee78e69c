/** The units of systemd, looked at by systemd itself. */
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { NotInstalled } from '../../interop/suite/not-installed.ts'
import { run } from '../../interop/suite/run.ts'
import type { Session } from '../../interop/suite/session.ts'
import { SOCKET_UNIT, UNIT } from './places.ts'

const ANALYZE = '/usr/bin/systemd-analyze'
const TIMEOUT_MS = 60_000
/** In tenths, of 100; without any hardening it is 96. */
const MOST_EXPOSED = 15

export async function tryUnit(session: Session): Promise<void> {
  const analyze = async (...args: string[]) => {
    if (!existsSync(ANALYZE)) throw new NotInstalled('there is no systemd-analyze')
    return run(ANALYZE, args, { timeoutMs: TIMEOUT_MS })
  }
  await session.check('systemd', 'verify says nothing of the units', async () => {
    // Node and the gateway are elsewhere on this machine.
    const copy = join(session.folder, 'infergate.service')
    writeFileSync(
      copy,
      readFileSync(UNIT, 'utf8').replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`),
    )
    const socket = join(session.folder, 'infergate.socket')
    copyFileSync(SOCKET_UNIT, socket)
    const { stdout, stderr } = await analyze('verify', copy, socket)
    return stdout + stderr === '' ? undefined : stdout + stderr
  })
  await session.check('systemd', 'its exposure is low', async () => {
    await analyze('security', '--offline=true', '--no-pager', `--threshold=${MOST_EXPOSED}`, UNIT)
    return undefined
  })
}
