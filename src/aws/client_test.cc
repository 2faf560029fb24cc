#include "aws/client.h"

#include <gtest/gtest.h>

#include "aws/ec2.h"
#include "aws/errors.h"
#include "aws/scripted_http.h"
#include "aws/ssm.h"

namespace ferry::aws::client_test {
namespace {

struct World {
  os::FakeClock clock;
  ScriptedHttp http;
  ClientConfig config{.credentials = fixed_provider({"AKID", "secret", "", ""}),
                      .region = "us-east-1",
                      .endpoint_url = {},
                      .service_endpoints = {},
                      .max_attempts = 1};
  Client client() { return Client(config, http, clock); }
};

TEST(Client, EndpointsAreAwsOwnUnlessSaidOtherwise) {
  ClientConfig config;
  config.region = "eu-west-1";
  EXPECT_EQ(endpoint_of(config, "ec2"), "https://ec2.eu-west-1.amazonaws.com");
  config.region = "cn-north-1";
  EXPECT_EQ(endpoint_of(config, "sts"), "https://sts.cn-north-1.amazonaws.com.cn");
  config.region = "eu-west-1";
  EXPECT_EQ(endpoint_of(config, "pricing"), "https://api.pricing.us-east-1.amazonaws.com");
  EXPECT_EQ(endpoint_of(config, "service_quotas"), "https://servicequotas.eu-west-1.amazonaws.com");
  EXPECT_EQ(endpoint_of(config, "iam"), "https://iam.amazonaws.com");
  EXPECT_EQ(endpoint_of(config, "sso"), "https://portal.sso.eu-west-1.amazonaws.com");
  EXPECT_EQ(endpoint_of(config, "sso_oidc"), "https://oidc.eu-west-1.amazonaws.com");
  config.endpoint_url = "http://127.0.0.1:5000/";
  EXPECT_EQ(endpoint_of(config, "sts"), "http://127.0.0.1:5000");
  config.service_endpoints["ec2"] = "http://127.0.0.1:6000";
  EXPECT_EQ(endpoint_of(config, "ec2"), "http://127.0.0.1:6000");
}

TEST(Client, OnlyThisComputerIsLoopback) {
  for (const char* url : {"http://127.0.0.1:5000", "http://localhost/", "https://127.77.0.12", "http://[::1]:80/"}) {
    EXPECT_TRUE(is_loopback(url)) << url;
  }
  for (const char* url : {"https://ec2.us-east-1.amazonaws.com", "http://127.0.0.1.example.com", "http://10.0.0.1",
                          "http://localhost.example", "http://127.0.0.1:80@example.com/", ""}) {
    EXPECT_FALSE(is_loopback(url)) << url;
  }
}

TEST(Client, ParametersAreFlattenedAndEncoded) {
  Params params;
  params.add("A", "x y+z&é").filter("tag:ferry:run", {"a", "b"}).tags("instance", {{"k", "v"}}).tags("volume", {});
  EXPECT_EQ(params.form_body(),
            "A=x%20y%2Bz%26%C3%A9&Filter.1.Name=tag%3Aferry%3Arun&Filter.1.Value.1=a&Filter.1.Value.2=b"
            "&TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=k&TagSpecification.1.Tag."
            "1.Value=v");
}

TEST(Client, AQueryIsAFormPostSignedForItsService) {
  World world;
  world.http.reply(200, "<ok/>");
  ASSERT_TRUE(world.client().query("sts", "GetCallerIdentity", Params(), Repeat::freely));
  const auto& request = world.http.asked.at(0);
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.url, "https://sts.us-east-1.amazonaws.com/");
  EXPECT_EQ(request.body, "Action=GetCallerIdentity&Version=2011-06-15");
  EXPECT_NE(header_of(request, "authorization").find("/us-east-1/sts/aws4_request"), std::string::npos);
}

TEST(Client, ARentalCarriesEverySafetyTheBlueprintAsksFor) {
  World world;
  world.http.reply(200,
                   "<RunInstancesResponse><instancesSet><item><instanceId>i-1</instanceId></item></instancesSet>"
                   "</RunInstancesResponse>");
  auto client = world.client();
  ASSERT_TRUE(Ec2(client).run_instances({.image_id = "ami-1",
                                         .instance_type = "g5.xlarge",
                                         .key_name = "k",
                                         .security_group_id = "sg-1",
                                         .zone = "us-east-1a",
                                         .client_token = "t-1",
                                         .user_data = "#!/bin/sh\n",
                                         .root_device = "/dev/sda1",
                                         .root_size_gib = 80,
                                         .spot = true,
                                         .tags = {{"ferry:run", "r"}}}));
  const std::string& body = world.http.asked.at(0).body;
  for (const char* part :
       {"Action=RunInstances&Version=2016-11-15&ClientToken=t-1&", "MinCount=1&MaxCount=1",
        "InstanceInitiatedShutdownBehavior=terminate", "MetadataOptions.HttpTokens=required",
        "BlockDeviceMapping.1.DeviceName=%2Fdev%2Fsda1&BlockDeviceMapping.1.Ebs.Encrypted=true",
        "Ebs.DeleteOnTermination=true", "Ebs.VolumeType=gp3", "Ebs.VolumeSize=80", "MarketType=spot",
        "SpotInstanceType=one-time", "InstanceInterruptionBehavior=terminate", "UserData=IyEvYmluL3NoCg%3D%3D",
        "Placement.AvailabilityZone=us-east-1a", "ResourceType=instance", "ResourceType=volume"}) {
    EXPECT_NE(body.find(part), std::string::npos) << part << " in " << body;
  }
}

TEST(Client, EveryPageIsRead) {
  World world;
  const auto page = [](const std::string& id, const std::string& next) {
    return "<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>" + id +
           "</instanceId></item></instancesSet></item></reservationSet><nextToken>" + next +
           "</nextToken></DescribeInstancesResponse>";
  };
  world.http.reply(200, page("i-1", "more"));
  world.http.reply(200, page("i-2", "last"));
  world.http.reply(200, page("i-3", ""));
  auto client = world.client();
  EXPECT_EQ(Ec2(client).describe_instances({}, {}).value().size(), 3U);
  EXPECT_NE(world.http.asked.at(2).body.find("NextToken=last"), std::string::npos);
  world.http.reply(200, page("i-1", "same"));
  world.http.reply(200, page("i-2", "same"));
  EXPECT_EQ(Ec2(client).describe_instances({}, {}).error().kind, Kind::corrupt) << "the same page again is no end";
}

TEST(Client, SsmSpeaksJson) {
  World world;
  world.http.reply(200, R"({"Parameter":{"Name":"/a","Value":"ami-1"}})");
  auto client = world.client();
  EXPECT_EQ(get_parameter(client, "/a").value(), "ami-1");
  EXPECT_EQ(header_of(world.http.asked.at(0), "x-amz-target"), "AmazonSSM.GetParameter");
  EXPECT_EQ(world.http.asked.at(0).body, R"({"Name":"/a"})");
  world.http.reply(400, R"({"__type":"com.amazonaws.ssm#ParameterNotFound","message":"no"})");
  EXPECT_EQ(get_parameter(client, "/b").error().kind, Kind::not_found);
  for (const char* bad : {"[]", "{}", R"({"Parameter":[]})", "{"}) {
    world.http.reply(200, bad);
    EXPECT_EQ(get_parameter(client, "/c").error().kind, Kind::corrupt) << bad;
  }
}

struct Meaning {
  int status;
  const char* code;
  Kind kind;
};

TEST(Errors, EveryCodeHasItsKindAndANextStep) {
  for (const auto& [status, code, kind] : std::vector<Meaning>{{500, "InsufficientInstanceCapacity", Kind::no_capacity},
                                                               {400, "Unsupported", Kind::no_capacity},
                                                               {400, "SpotMaxPriceTooLow", Kind::no_capacity},
                                                               {400, "VcpuLimitExceeded", Kind::quota},
                                                               {400, "InstanceLimitExceeded", Kind::quota},
                                                               {400, "MaxSpotInstanceCountExceeded", Kind::quota},
                                                               {503, "RequestLimitExceeded", Kind::throttled},
                                                               {400, "ThrottlingException", Kind::throttled},
                                                               {403, "UnauthorizedOperation", Kind::denied},
                                                               {401, "AuthFailure", Kind::denied},
                                                               {403, "InvalidClientTokenId", Kind::denied},
                                                               {403, "ExpiredToken", Kind::denied},
                                                               {403, "SignatureDoesNotMatch", Kind::denied},
                                                               {401, "OptInRequired", Kind::denied},
                                                               {400, "InvalidInstanceID.NotFound", Kind::not_found},
                                                               {400, "InvalidGroup.NotFound", Kind::not_found},
                                                               {400, "InvalidInstanceID.Malformed", Kind::bad_input},
                                                               {400, "InvalidKeyPair.Duplicate", Kind::exists},
                                                               {400, "InvalidPermission.Duplicate", Kind::exists},
                                                               {400, "DependencyViolation", Kind::conflict},
                                                               {400, "InvalidGroup.InUse", Kind::conflict},
                                                               {400, "IdempotentParameterMismatch", Kind::conflict},
                                                               {400, "IncorrectInstanceState", Kind::conflict},
                                                               {400, "InvalidParameterValue", Kind::bad_input},
                                                               {500, "InternalError", Kind::io},
                                                               {502, "", Kind::io}}) {
    const Error error = error_of({code, "because"}, status, "ec2", "RunInstances");
    EXPECT_EQ(error.kind, kind) << code;
    EXPECT_EQ(error.code, code);
    EXPECT_EQ(error.why, "because");
    EXPECT_FALSE(error.advice.empty()) << code;
  }
}

TEST(Errors, AnEndedSessionIsNoWrongClock) {
  const auto refused_at = [](const char* date) {
    World world;
    world.config.credentials = fixed_provider({"AKID", "secret", "token", "environment"});
    for (int i = 0; i < 2; ++i) world.http.reply_fault(400, "RequestExpired", "Request has expired.", {{"date", date}});
    auto client = world.client();
    return client.query("ec2", "DescribeInstances", Params(), Repeat::freely).error();
  };
  // The fake clock says 22:13:20.
  for (const char* date : {"Tue, 14 Nov 2023 22:13:21 GMT", "Tue, 14 Nov 2023 22:17:20 GMT", ""}) {
    const auto ended = refused_at(date);
    EXPECT_TRUE(is_expired(ended));
    EXPECT_NE(ended.what.find("session has ended"), std::string::npos) << date << ended.what;
    EXPECT_NE(ended.why.find("environment"), std::string::npos) << ended.why;
    EXPECT_NE(ended.advice.find("aws sso login"), std::string::npos) << ended.advice;
    EXPECT_EQ(ended.advice.find("clock"), std::string::npos) << ended.advice;
  }
  const auto wrong = refused_at("Tue, 14 Nov 2023 22:19:20 GMT");
  EXPECT_NE(wrong.what.find("clock is wrong"), std::string::npos) << wrong.what;
  EXPECT_EQ(wrong.advice.find("sso"), std::string::npos) << wrong.advice;
}

TEST(Errors, ARefusedPermissionNamesItself) {
  World world;
  world.http.reply_fault(403, "UnauthorizedOperation",
                         "You are not authorized. Encoded authorization failure message: AbCdEf");
  auto client = world.client();
  const auto refused = Ec2(client).run_instances({});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().what.find("ec2:RunInstances"), std::string::npos);
  EXPECT_NE(refused.error().advice.find("ec2:RunInstances"), std::string::npos);
  EXPECT_EQ(refused.error().why, "You are not authorized.");
}

TEST(Errors, AreReadFromEveryProtocol) {
  os::HttpResponse sts{403,
                       {},
                       "<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code>"
                       "<Message>old</Message></Error></ErrorResponse>"};
  EXPECT_EQ(fault_of(sts).code, "ExpiredToken");
  os::HttpResponse json{400, {{"x-amzn-errortype", "AccessDeniedException:http://internal/"}}, R"({"Message":"no"})"};
  EXPECT_EQ(fault_of(json).code, "AccessDeniedException");
  EXPECT_EQ(fault_of(json).message, "no");
  os::HttpResponse junk{502, {}, "<html>\x1b[31mBad Gateway"};
  EXPECT_EQ(fault_of(junk).code, "");
}

}  // namespace
}  // namespace ferry::aws::client_test
