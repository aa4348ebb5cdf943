/**
 * The keys by which clients cancel: issued by the gateway where it lets clients in by itself. A key
 * names a session, and not a connection, for the session may have another one by then.
 */
import { marked } from './key-marks.ts'

/** A process id and a secret, as every client knows them. */
const KEY_BYTES = 8
/** The same for clients of protocol 3.2, which take longer ones; as long as PostgreSQL 18 has. */
const LONG_KEY_BYTES = 36

export function issueKey({ long }: { readonly long: boolean }): Uint8Array {
  return marked(crypto.getRandomValues(new Uint8Array(long ? LONG_KEY_BYTES : KEY_BYTES)))
}
