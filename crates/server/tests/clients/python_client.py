"""Runs the official Tencent Cloud SDK for Python, unchanged, against a server on plain HTTP or HTTPS.

Not a client of its own: it only chooses the SDK's settings. Reads one JSON object a line from standard input and answers each with one
line, in order, so that one process serves many calls (importing the SDK costs half a second).

    {"endpoint": "127.0.0.1:8080", "secretId": "..", "secretKey": "..", "form": "tc3-post",
     "action": "PurgeUrlsCache", "params": {"Urls": ["http://www.example.test/"]}}

`form` is one of FORMS. Optional: "async": true (the SDK's httpx client), "token", "region", "language" ("en-US", "zh-CN"),
"untyped": true (sends `params` as they are, where the SDK's typed request could not hold them; not with "async"), "protocol": "https",
and with it "certification": the file of the only authority that is trusted. With "untyped" also "service" and "version" of another product,
"options" as the SDK's `call_json` takes them, and "clockOff": by how many seconds the clock that the SDK sees is ahead.

    {"ok": {"TaskId": "..", "RequestId": ".."}}
    {"error": {"code": "AuthFailure.SignatureFailure", "message": "..", "requestId": ".."}}
"""

import asyncio
import json
import sys
import time
from unittest import mock

from tencentcloud.cdn.v20180606 import cdn_client, cdn_client_async, models
from tencentcloud.common import common_client, credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

# Name: (signature method, HTTP method, payload left unsigned).
FORMS = {
    "tc3-post": ("TC3-HMAC-SHA256", "POST", False),
    "tc3-get": ("TC3-HMAC-SHA256", "GET", False),
    "tc3-post-unsigned": ("TC3-HMAC-SHA256", "POST", True),
    "v1-sha1-get": ("HmacSHA1", "GET", False),
    "v1-sha1-post": ("HmacSHA1", "POST", False),
    "v1-sha256-get": ("HmacSHA256", "GET", False),
    "v1-sha256-post": ("HmacSHA256", "POST", False),
}


def profile_of(call):
    sign_method, http_method, unsigned = FORMS[call["form"]]
    http = HttpProfile(
        protocol=call.get("protocol", "http"),
        endpoint=call["endpoint"],
        reqMethod=http_method,
        reqTimeout=30,
        certification=call.get("certification"),
    )
    profile = ClientProfile(signMethod=sign_method, httpProfile=http, language=call.get("language", "en-US"))
    profile.unsignedPayload = unsigned
    return profile


def request_of(call):
    request = getattr(models, call["action"] + "Request")()
    request.from_json_string(json.dumps(call["params"]))
    return request


def run_untyped(call, keys, profile):
    region = call.get("region", "")
    client = cdn_client.CdnClient(keys, region, profile)
    if "service" in call or "version" in call:
        service, version = call.get("service", "cdn"), call.get("version", "2018-06-06")
        client = common_client.CommonClient(service, version, keys, region, profile)
    seen = time.time
    with mock.patch("time.time", lambda: seen() + call.get("clockOff", 0)):
        return client.call_json(call["action"], call["params"], options=call.get("options"))["Response"]


def run(call, keys, profile):
    if call.get("untyped"):
        return run_untyped(call, keys, profile)
    client = cdn_client.CdnClient(keys, call.get("region", ""), profile)
    return json.loads(getattr(client, call["action"])(request_of(call)).to_json_string())


# One asynchronous client for all calls that differ in nothing but action and parameters, on one event loop: each reads the list of
# authorities, which takes longer than a call.
LOOP = asyncio.new_event_loop()
CLIENTS = {}


def run_async(call, keys, profile):
    settings = json.dumps({name: value for name, value in call.items() if name not in ("action", "params")})
    client = CLIENTS.get(settings)
    if client is None:
        client = CLIENTS[settings] = cdn_client_async.CdnClient(keys, call.get("region", ""), profile)
    response = LOOP.run_until_complete(getattr(client, call["action"])(request_of(call)))
    return json.loads(response.to_json_string())


def answer(line):
    call = json.loads(line)
    keys = credential.Credential(call["secretId"], call["secretKey"], call.get("token"))
    profile = profile_of(call)
    try:
        if call.get("async"):
            return {"ok": run_async(call, keys, profile)}
        return {"ok": run(call, keys, profile)}
    except TencentCloudSDKException as error:
        return {"error": {"code": error.code, "message": error.message, "requestId": error.requestId}}


def main():
    for line in sys.stdin:
        if line.strip():
            print(json.dumps(answer(line)), flush=True)


if __name__ == "__main__":
    main()
