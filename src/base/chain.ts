/** The links of a member. Only its chain writes them. */
export interface Linked<Member> {
  /** The chain that it is in; null in none. */
  chain: object | null;
  before: Member | null;
  after: Member | null;
}

/**
 * Members in the order in which they came. Adding and removing allocate nothing, and one that was
 * removed leads to no other. A Set that members come to and leave moves to a new table every few
 * members. Where such a table has become old, V8 keeps the next one alive, and with it what all of
 * its members hold, until it collects the whole heap (docs/decisions/connection-cost.md).
 */
export class Chain<Member extends Linked<Member>> {
  #first: Member | null = null;
  #last: Member | null = null;
  #size = 0;

  get first(): Member | null {
    return this.#first;
  }

  get size(): number {
    return this.#size;
  }

  /** Adds one that is in no chain. */
  add(member: Member): void {
    const last = this.#last;
    member.chain = this;
    member.before = last;
    if (last === null) this.#first = member;
    else last.after = member;
    this.#last = member;
    this.#size++;
  }

  /** Returns false for one that is not in this chain. */
  remove(member: Member): boolean {
    if (member.chain !== this) return false;
    const { before, after } = member;
    if (before === null) this.#first = after;
    else before.after = after;
    if (after === null) this.#last = before;
    else after.before = before;
    member.chain = member.before = member.after = null;
    this.#size--;
    return true;
  }

  /** Goes through those that are here now, also where some of them leave meanwhile. */
  [Symbol.iterator](): ArrayIterator<Member> {
    const all: Member[] = [];
    for (let member = this.#first; member !== null; member = member.after) all.push(member);
    return all.values();
  }
}

/** A member for what cannot have links of its own. */
export class ChainEntry<Value> implements Linked<ChainEntry<Value>> {
  chain: object | null = null;
  before: ChainEntry<Value> | null = null;
  after: ChainEntry<Value> | null = null;
  readonly value: Value;

  constructor(value: Value) {
    this.value = value;
  }
}
