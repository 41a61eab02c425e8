# Varnish 7.1 under Catharsis. Why each line is here: docs/caches/README.md.
# Replace @ORIGIN_HOST@, @ORIGIN_PORT@ and @RELAY_HOST@.
vcl 4.1;

import purge;
import std;

backend origin {
    .host = "@ORIGIN_HOST@";
    .port = "@ORIGIN_PORT@";
    .connect_timeout = 5s;
    .first_byte_timeout = 30s;
    .between_bytes_timeout = 10s;
}

# The address that the relay calls from. Nobody else may purge.
acl relay {
    "@RELAY_HOST@";
}

sub catharsis_normalize {
    # One spelling of the host for GET and PURGE, or a purge misses what a client stored.
    set req.http.Host = regsub(std.tolower(req.http.Host), "\.?(:(80|443))?$", "");
    if (req.http.Host == "") {
        return (synth(400));
    }
    # `GET https://host/p` keeps its scheme in the key, where no purge would find it.
    if (req.url !~ "^/" && !(req.method == "OPTIONS" && req.url == "*")) {
        return (synth(400));
    }
}

sub catharsis_everything {
    if (!std.ban("obj.status != 0")) {
        return (synth(500, "Ban failed: " + std.ban_error()));
    }
    return (synth(200, "Banned"));
}

sub vcl_recv {
    if (req.method == "PURGE" && client.ip !~ relay) {
        return (synth(405));
    }
    # Only known methods go further: the built-in VCL would pipe any other one to the origin.
    if (req.method !~ "^(GET|HEAD|POST|PUT|DELETE|PATCH|OPTIONS|PURGE)$") {
        return (synth(405));
    }
    call catharsis_normalize;
    if (req.method == "PURGE") {
        if (req.http.X-Catharsis-Scope == "everything") {
            call catharsis_everything;
        }
        # A scope that this file does not know must not pass for the purge of one URL.
        if (req.http.X-Catharsis-Scope) {
            return (synth(501));
        }
        unset req.http.Range;
        set req.hash_ignore_busy = true;
        return (hash);
    }
}

sub vcl_hash {
    # Host and URL, no scheme: http and https share one object, so one PURGE removes both.
    hash_data(req.url);
    hash_data(req.http.Host);
    return (lookup);
}

sub catharsis_purge {
    # Removes every Vary variant and returns how many there were.
    set req.http.X-Catharsis-Purged = purge.hard();
    if (req.http.X-Catharsis-Purged == "0") {
        return (synth(404));
    }
    return (synth(200, "Purged " + req.http.X-Catharsis-Purged));
}

sub vcl_hit {
    if (req.method == "PURGE") {
        call catharsis_purge;
    }
}

sub vcl_miss {
    if (req.method == "PURGE") {
        call catharsis_purge;
    }
}

sub vcl_pass {
    # Reached by a PURGE only when a hit-for-pass object is found: never let it go to the origin.
    if (req.method == "PURGE") {
        return (synth(500, "Hit-for-pass"));
    }
}

sub vcl_backend_response {
    # The bound behind fetch_max: a response whose headers took longer is delivered, never kept.
    if (beresp.time - bereq.time > 40s) {
        set beresp.uncacheable = true;
        set beresp.ttl = 0s;
        set beresp.grace = 0s;
        set beresp.keep = 0s;
        return (deliver);
    }
}

sub vcl_deliver {
    if (obj.hits > 0) {
        set resp.http.X-Cache = "HIT";
    } else {
        set resp.http.X-Cache = "MISS";
    }
}

sub vcl_synth {
    if (req.method == "PURGE") {
        set resp.body = "";
        return (deliver);
    }
}
