/** A gateway that shares nothing: it measures for itself, and speaks for itself. */
import type { Crew } from './scaler.ts'

export const ALONE: Crew = { role: () => 'alone', token: 1, exchange: (_, own) => own }
