/**
 * Listening sockets that the service manager has opened and hands over, by systemd's protocol (sd_listen_fds): descriptors from 3 on,
 * as many as LISTEN_FDS says. The manager keeps them open while one process follows another, so connections wait in their
 * queues and none is refused.
 */
const FIRST = 3
/** As many as there may be workers. */
const MAX = 256

/** The descriptors that are meant for the process `pid`; they are taken out of `env`, since children must not use them. */
export function takeInheritedSockets(env: NodeJS.ProcessEnv, pid: number): readonly number[] {
  const { LISTEN_PID, LISTEN_FDS } = env
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete env[name]
  const count = Number(LISTEN_FDS)
  if (LISTEN_PID !== String(pid) || !Number.isInteger(count) || count < 1 || count > MAX) return []
  return Array.from({ length: count }, (_, i) => FIRST + i)
}
