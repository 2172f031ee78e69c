/** A gateway that shares nothing: it measures for itself, and speaks for itself. */
import type { ScaleGroup } from './scaler.ts'

export const ALONE: ScaleGroup = { role: () => 'alone', token: 1, exchange: (_, own) => own }
