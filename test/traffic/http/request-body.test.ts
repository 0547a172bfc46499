import { once } from 'node:events';
import { Readable } from 'node:stream';
import t from 'tap';
import { RequestBody } from '../../../src/traffic/http/request-body.ts';

/** Returns a body that has ended although nothing has read it, as an empty one of HTTP/2 does. */
async function ended(): Promise<RequestBody> {
  const source = new Readable({ read() {} });
  const body = new RequestBody(source);
  source.push(null);
  const end = once(source, 'end');
  source.read(0);
  await end;
  return body;
}

async function cutOff(): Promise<RequestBody> {
  const source = new Readable({ read() {} });
  const body = new RequestBody(source);
  source.destroy();
  await once(source, 'close');
  return body;
}

const poured = (body: RequestBody): readonly string[] => {
  const seen: string[] = [];
  body.pour({
    write: (piece) => seen.push(String(piece)) > 0,
    end: () => seen.push('end'),
    cut: () => seen.push('cut'),
  });
  return seen;
};

t.test('a body that ended or was cut off before it is taken is reported at once', async (t) => {
  t.same(poured(await ended()), ['end']);
  t.same(poured(await cutOff()), ['cut']);
  const stream = (await ended()).stream();
  stream.resume();
  await once(stream, 'end');
  const [error] = (await once((await cutOff()).stream(), 'error')) as [Error];
  t.equal(error.message, 'the request was cut off');
});
