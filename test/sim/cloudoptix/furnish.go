package cloudoptix

import "fmt"

// furnish puts an account of each provider into the inventory, and one thing of
// each sort into it.
func (s *Sim) furnish() {
	for _, a := range []struct{ id, kind, name string }{
		{DefaultAccount, "AWS", "Production"}, {AzureAccount, "Azure", "Office"}, {GCPAccount, "GCP", "Acme production"}, {KubernetesAccount, "Kubernetes", "On premises"},
	} {
		s.Put("accounts", Thing{
			"accountId": a.id, "accountType": a.kind, "name": a.name, "registeredDate": "2026-01-31T12:00:00.000+0000", "cloudAssets": 12,
			"status": "ACTIVE", "isEnabled": true, "isSubAccount": false, "subAccounts": []string{}, "tags": []string{"prod"},
			"accountSyncBenchmark": Thing{"latestSuccessSyncTime": "", "latestSuccessBenchmarkRunTime": ""}, "cloudLogStatus": "ENABLED", "flowLogStatus": "DISABLED",
		})
	}
	s.Put("vms", Machine("i-0a1b2c3d4e5f60001", DefaultAccount, "203.0.113.10"))
	s.Put("vms", Thing{"accountType": "AZURE", "accountId": AzureAccount, "instanceId": "/subscriptions/" + AzureAccount + "/vm/mail", "moreInfo": Thing{
		"name": "mail", "runningState": "PowerState/running", "region": "westeurope", "vnetId": "vnet-1", "publicIP": "203.0.113.20", "privateIP": "10.1.0.4",
		"tags": Thing{"team": "office"}, "networkInterfaces": []Thing{{"interfaceId": "nic-1", "publicIP": "203.0.113.20", "privateIP": "10.1.0.4"}},
	}})
	s.Put("vms", Thing{"accountType": "GCP", "accountId": GCPAccount, "instanceId": "8812345", "moreInfo": Thing{
		"name": "batch", "status": "RUNNING", "zone": "europe-west1-b", "publicIP": "", "privateIP": "10.2.0.2", "tags": nil,
		"networkInterfaceList": []Thing{{"name": "nic0", "networkId": "default", "accessConfigList": []Thing{{"name": "nat", "natIP": "203.0.113.30"}}}},
	}})
	s.Put("users", Thing{"accountType": "AWS", "accountId": DefaultAccount, "name": "alice", "moreInfo": Thing{
		"arn": "arn:aws:iam::" + DefaultAccount + ":user/alice", "isActive": true, "isMfaActive": "true", "userId": "AIDAEXAMPLE",
	}})
	s.Put("users", Thing{"accountType": "GCP", "accountId": GCPAccount, "name": "bob", "moreInfo": Thing{"primaryEmail": "Bob@example.com", "isAdmin": true}})
	s.Put("users", Thing{"accountType": "Azure", "accountId": AzureAccount, "name": "carol", "moreInfo": Thing{"mail": "carol@example.com", "principalName": "carol@acme.example"}})
	s.Put("serverless", Thing{"accountType": "AWS", "accountId": DefaultAccount, "functionName": "resize", "region": "eu-west-1", "moreInfo": Thing{
		"functionArn": "arn:aws:lambda:eu-west-1:" + DefaultAccount + ":function:resize", "runtime": "python3.12", "vpcId": "vpc-1", "mappedTags": `{"team":"web"}`,
	}})
	s.Put("serverless", Thing{"accountType": "Azure", "accountId": AzureAccount, "functionName": "mailer", "region": "westeurope", "moreInfo": Thing{
		"instanceId": "/subscriptions/" + AzureAccount + "/sites/mailer", "isPublic": true,
	}})
	for provider, account := range map[string]string{"eks": DefaultAccount, "aks": AzureAccount, "gke": GCPAccount, "native": KubernetesAccount} {
		s.cluster(provider, account)
	}
}

// Machine makes a virtual machine of AWS.
func Machine(id, account, ip string) Thing {
	return Thing{"accountType": "AWS", "accountId": account, "instanceId": id, "moreInfo": Thing{
		"imageId": "ami-1", "runningState": "running", "instanceType": "t3.small", "region": "eu-west-1", "vpcId": "vpc-1", "isPublic": ip != "",
		"tags": fmt.Sprintf(`{"Name":"host-%s"}`, id), "networkInterfaces": []Thing{{"interfaceId": "eni-1", "isPublicIP": ip != "", "publicIP": ip, "privateIP": "10.0.0.5"}},
	}}
}

// cluster puts a small cluster into the inventory; native has none, only nodes.
func (s *Sim) cluster(provider, account string) {
	object := func(kind, id, name string, info Thing) {
		s.Put(provider+"/"+kind, Thing{"accountType": provider, "accountId": account, "objectId": provider + "-" + id, "name": name, "moreInfo": info})
	}
	if provider != "native" {
		object("clusters", "c1", "shop", Thing{"instanceId": "c1", "region": "eu-west-1", "status": "ACTIVE", "vpcId": "vpc-1", "endpointPublicAccess": true})
	}
	object("nodes", "n1", "node-1", Thing{"instanceId": "n1", "vmId": "i-0a1b2c3d4e5f60001", "publicIp": "", "cloudProvider": provider})
	object("pods", "p1", "cart-7d9f", Thing{"instanceId": "p1", "namespace": "shop", "nodeName": "node-1", "isPrivileged": false, "cloudProvider": provider})
	object("containers", "k1", "cart", Thing{"instanceId": "k1", "image": "docker.io/acme/cart:1.4", "privileged": false, "cloudProvider": provider})
}
