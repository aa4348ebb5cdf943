/** What is known of a connection, and what it has asked. */
import { Requests } from '../../shared/assembly/requests'
import { UNKNOWN } from './plans'

export class Talk extends Requests {
  /** The rules for its user; 0: nothing is masked for it. */
  rules: u32 = 0
  /** The plan of the rows that come now; UNKNOWN until the first of them asks. */
  plan: i32 = UNKNOWN
  /** True until the ReadyForQuery that ends a reply of which the rest is withheld. */
  isWithheld: bool = false
  /** The type of the message that the server sent last. */
  before: u8 = 0
  /** Part of the keys of its statements: another number makes them all unknown. */
  epoch: u32 = 0

  /** For another connection. */
  reset(rules: u32): void {
    this.rules = rules
    this.plan = UNKNOWN
    this.isWithheld = false
    this.before = 0
    this.epoch = 0
    this.clear()
  }
}
