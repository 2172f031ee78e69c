/** The value of `grpc-timeout`: at most eight digits and a unit (grpc/grpc, "gRPC over HTTP2", Timeout). */

/** Milliseconds of each unit, the finest last. */
const UNITS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
}

const MAX_DIGITS = 99_999_999

/** Milliseconds; undefined: it is no timeout. */
export function readGrpcTimeout(value: string): number | undefined {
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(value) ?? []
  return digits === undefined ? undefined : Number(digits) * (UNITS[unit as string] as number)
}

/** As much of a time in milliseconds as the form can say: never more, and in whole milliseconds where they have room. */
export function grpcTimeout(ms: number): string {
  for (const unit of ['m', 'S', 'M']) {
    const amount = Math.floor(ms / (UNITS[unit] as number))
    if (amount <= MAX_DIGITS) return `${Math.max(0, amount)}${unit}`
  }
  return `${Math.min(MAX_DIGITS, Math.floor(ms / (UNITS['H'] as number)))}H`
}
